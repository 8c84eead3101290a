"""Metrics: each a class for Lightning over a function of tensors."""

from lit_intriguing.metrics.certified import CertifiedAccuracy
from lit_intriguing.metrics.error_rate import ErrorRate, error_rate
from lit_intriguing.metrics.transfer import TransferRates, transfer_rates

__all__ = ["CertifiedAccuracy", "ErrorRate", "TransferRates", "error_rate", "transfer_rates"]
