"""Metrics: each a class for Lightning over a function of tensors."""

from lit_intriguing.metrics.error_rate import ErrorRate, error_rate

__all__ = ["ErrorRate", "error_rate"]
