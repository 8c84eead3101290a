"""Units of a network against random directions, over a split: resumable, under any strategy."""

from lit_intriguing.commands.units.job import UnitJob

__all__ = ["UnitJob"]
