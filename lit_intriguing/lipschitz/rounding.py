"""Outward rounding of a few operations in float64."""

import math

FEW_ROUNDINGS = 2.0**-49
"""Relative error of at most fourteen roundings in float64, and of the factor itself."""


def raised(value: float) -> float:
    """Return a number not below the true one, of which ``value`` is off by a few roundings.

    Args:
        value: Zero or more. Zero stays zero: it is meant to be exact.

    Examples:
        >>> raised(1 / 6) > 1 / 6
        True
        >>> raised(0.0)
        0.0
    """
    return value and math.nextafter(value * (1 + FEW_ROUNDINGS), math.inf)
