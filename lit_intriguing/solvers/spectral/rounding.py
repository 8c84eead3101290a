"""How far float64 arithmetic may be off: the margins behind every certified bound."""

import math

import torch
from torch import Tensor

UNIT = 2.0**-53
"""Unit roundoff of float64."""

SINGLE_UNIT = 2.0**-24
"""Unit roundoff of float32."""

_MANY = 2**17
"""Entries up to which a sum of squares in float32 is still good to 7%."""


def gamma(terms: int, unit: float = UNIT) -> float:
    """Return the relative error of a sum of so many products (Higham 2002, lemma 3.1), with slack.

    Four times the classical bound with twice the terms: enough for complex arithmetic, in which a
    product is four real ones, and for the rounding of this number itself.
    """
    eps = 2 * (terms + 2) * unit
    return 4 * eps / (1 - eps)


def greatest_entry(tensor: Tensor) -> float:
    """Return the greatest absolute value: NaN or infinity where there is one, 0 of no entries."""
    return float(torch.linalg.vector_norm(tensor, math.inf)) if tensor.numel() else 0.0


def scaled(tensor: Tensor) -> tuple[Tensor, float]:
    """Divide by a power of two, if need be, so that no square leaves float32 or vanishes.

    Returns:
        The quotient, without rounding error but of entries that do not matter, and the divisor.
    """
    greatest = greatest_entry(tensor)
    if greatest == 0 or 2.0**-30 < greatest < 2.0**30:
        return tensor, 1.0
    # Beyond these exponents the power itself, or its inverse, leaves the normal numbers.
    exponent = min(max(math.frexp(greatest)[1], -1000), 1000)
    return tensor * 2.0**-exponent, 2.0**exponent


def rounded_up(value: float) -> float:
    """Return a little above, for the last few operations that led to a number; zero stays zero.

    What is next to zero is raised to 1e-300, as smaller numbers may have been flushed to zero.
    """
    return max(value * (1 + 16 * UNIT), 1e-300) if value else 0.0


def frobenius(tensor: Tensor) -> Tensor:
    """At least the Frobenius norm of each matrix `(..., m, n)`, float64: rounding included.

    Squares of its entries must be normal numbers of its type.
    """
    size = tensor.shape[-2:].numel()
    flat = tensor.reshape(*tensor.shape[:-2], size)
    if flat.is_complex():  # torch takes the norm of real numbers tens of times faster
        flat = torch.view_as_real(flat.resolve_conj()).flatten(-2)
    quick = flat.dtype == torch.float32 and size <= _MANY  # five times as fast
    norm: Tensor = torch.linalg.vector_norm(flat, dim=-1, dtype=None if quick else torch.float64)
    return norm.double() * (1 + gamma(size, SINGLE_UNIT if quick else UNIT))


FEW_ROUNDINGS = 2.0**-49
"""Relative error of at most fourteen roundings in float64, and of the factor itself."""


def raised(value: float) -> float:
    """Return a number not below the true one, of which `value` is off by a few roundings.

    Args:
        value: Zero or more. Zero stays zero: it is meant to be exact.

    Examples:
        >>> raised(1 / 6) > 1 / 6
        True
        >>> raised(0.0)
        0.0
    """
    return value and math.nextafter(value * (1 + FEW_ROUNDINGS), math.inf)
