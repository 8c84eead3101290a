"""The sizes at which errors are asked for, by norm, and how they are called."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from lit_intriguing.spelling import did_you_mean

NORMS = {"l2": 2.0, "linf": math.inf}
"""The norms of perturbations, by name."""

SIZES: Mapping[str, Sequence[float]] = {"l2": (0.5, 1.0, 1.5)}
"""Where none are given: they suit MNIST, pixels in [0, 1]."""

Sizes = Mapping[str, tuple[float, ...]]


def checked_sizes(sizes: Mapping[str, Sequence[float]] | None) -> Sizes:
    """Return the sizes of each norm.

    Args:
        sizes: By name of the norm, in the units of the examples; None for `SIZES`.

    Raises:
        ValueError: If there is none, a norm is not known, or the sizes of a norm are not positive,
            finite and increasing.

    >>> checked_sizes({"l2": [1.5, 0.5]})
    Traceback (most recent call last):
    ValueError: sizes must increase, and those of l2 are 1.5, 0.5: write 0.5, 1.5.
    """
    given = SIZES if sizes is None else sizes
    if not any(len(some) for some in given.values()):
        raise ValueError("sizes is empty: give at least one, such as {'l2': [0.5, 1.0]}.")
    for norm, some in given.items():
        if norm not in NORMS:
            raise ValueError(
                f"sizes: no norm {norm!r}.{did_you_mean(norm, NORMS)} There are: "
                f"{', '.join(NORMS)}."
            )
        for size in some:
            if not 0 < size < math.inf:
                raise ValueError(f"sizes must be positive and finite, and {norm} has {size:g}.")
        if list(some) != sorted(set(some)):
            found, right = (", ".join(f"{x:g}" for x in xs) for xs in (some, sorted(set(some))))
            raise ValueError(
                f"sizes must increase, and those of {norm} are {found}: write {right}."
            )
    return {norm: tuple(float(size) for size in some) for norm, some in given.items() if some}


def size_key(norm: str, size: float) -> str:
    """Return how a size is called in logs.

    >>> size_key("l2", 1.0), size_key("linf", 0.1)
    ('l2_1', 'linf_0.1')
    """
    return f"{norm}_{size:g}"


def lengths(perturbations: Tensor, norm: str) -> Tensor:
    """Return the length of each perturbation, `(N, *S)`, in a norm, float64 `(N,)`."""
    flat = perturbations.double().flatten(1)
    found: Tensor = torch.linalg.vector_norm(flat, NORMS[norm], dim=1)
    return found
