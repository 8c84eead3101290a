"""`lightning evaluate`: errors under attacks at a list of sizes, resumable, under any strategy."""

from lit_intriguing.commands.evaluate.job import EvaluateJob

__all__ = ["EvaluateJob"]
