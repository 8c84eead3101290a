"""Metrics: each a class for Lightning over a function of tensors."""

from lit_intriguing.metrics.certified import CertifiedAccuracy
from lit_intriguing.metrics.error_rate import ErrorRate, error_rate
from lit_intriguing.metrics.robustness import (
    ClassRobustError,
    DistanceQuantiles,
    RobustError,
    class_errors,
    distance_quantiles,
    robust_error,
)
from lit_intriguing.metrics.transfer import TransferRates, transfer_rates

__all__ = [
    "CertifiedAccuracy",
    "ClassRobustError",
    "DistanceQuantiles",
    "ErrorRate",
    "RobustError",
    "TransferRates",
    "class_errors",
    "distance_quantiles",
    "error_rate",
    "robust_error",
    "transfer_rates",
]
