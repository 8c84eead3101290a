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
        ValueError: For anything else, and for a number that is there twice.

    Example:
        >>> as_sizes("at", [0, 0.5])
        tensor([0.0000, 0.5000], dtype=torch.float64)
    """
    numbers = isinstance(given, Sequence) and not isinstance(given, str | bytes)
    if not numbers or not given or not all(isinstance(one, Real) and one >= 0 for one in given):
        raise ValueError(f"{name} must hold numbers, one or more, each zero or more, not {given!r}")
    found = [float(one) for one in given]
    if len(set(found)) < len(found):
        raise ValueError(f"{name} must hold each number once, not {given!r}")
    # On the CPU also where another device is the default: they are no state, and do not move.
    return torch.tensor(found, dtype=torch.float64, device="cpu")


def as_texts(sizes: Tensor) -> list[str]:
    """Return different numbers as different texts: in six digits, or in all where that is too few.

    >>> as_texts(as_sizes("at", [0.5, 1.0])), as_texts(as_sizes("at", [0.5, 0.50000001]))
    (['0.5', '1'], ['0.5', '0.50000001'])
    """
    short = [f"{one:g}" for one in sizes.tolist()]
    return short if len(set(short)) == len(short) else [repr(one) for one in sizes.tolist()]
