"""Lists of sizes or shares, as metrics take them."""

from collections.abc import Sequence
from numbers import Real

import torch
from torch import Tensor


def as_sizes(name: str, given: Sequence[float]) -> Tensor:
    """Return numbers of zero or more as float64 `(R,)`.

    Args:
        name: Of the argument, for the message.
        given: One number or more.

    Raises:
        ValueError: For anything else.

    Example:
        >>> as_sizes("at", [0, 0.5])
        tensor([0.0000, 0.5000], dtype=torch.float64)
    """
    numbers = isinstance(given, Sequence) and not isinstance(given, str | bytes)
    if not numbers or not given or not all(isinstance(one, Real) and one >= 0 for one in given):
        raise ValueError(f"{name} must hold numbers, one or more, each zero or more, not {given!r}")
    return torch.tensor([float(one) for one in given], dtype=torch.float64)
