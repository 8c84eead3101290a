"""A coarse bound of a convolution that takes little memory, and when it is taken."""

import itertools
import math

from torch import Tensor

from lit_intriguing.solvers.spectral.dense import certified_norm
from lit_intriguing.solvers.spectral.lanczos import ROOM
from lit_intriguing.solvers.spectral.rounding import rounded_up
from lit_intriguing.solvers.spectral.symbol import CHUNK, Symbol

FACTORISATION = 4
"""Numbers that a certified norm takes, for each entry of the Gram matrix."""


def too_large(found: Symbol) -> str:
    """Return why a symbol is not looked at frequency by frequency; empty where it may be.

    That takes the Gram matrix of each shift, and some of one batch of frequencies; beyond `ROOM`
    numbers, 2 GiB, `by_taps` is to be used.
    """
    numbers = planned(found)
    if max(found.counts) == 1 or numbers <= ROOM:
        return ""
    return (
        f"bounded tap by tap, for frequency by frequency takes {numbers * 8 / 2**30:.1f} GiB of "
        f"memory, more than {ROOM * 8 / 2**30:.0f}"
    )


def planned(found: Symbol) -> int:
    """Return how many float64 numbers a bound over frequencies takes, at most."""
    groups, _, *sides = found.taps.shape
    order = min(sides)
    width = 2 if found.taps.is_complex() else 1
    stored = groups * found.shifts * 2 * order**2
    made = 3 * found.taps.numel() + 4 * groups * order**2
    wide = sum(count > 1 for count in found.counts)
    cells = groups * (4 * max(found.counts)) ** wide * (6 * len(found.counts) + 8)
    return int(width * (stored + made) + cells + 16 * max(CHUNK, order**2))


def by_taps(found: Symbol) -> float:
    """Bound the norm of the convolution of images of any size from its taps.

    It is at most the sum of the taps' norms; and `sqrt(K)` times the norm of all taps as one
    matrix, of which each dimension stands below or beside (Singla and Feizi 2021, theorem 2).

    Args:
        found: The symbol.

    Returns:
        The least of these, without those whose matrices are too large. Of taps with K random
        entries it is about `K^(1/4)` times the norm.
    """
    return rounded_up(max(_of_group(group, found) for group in found.taps))


def _of_group(taps: Tensor, found: Symbol) -> float:
    bounds = [math.fsum(float(certified_norm(tap)) for tap in taps)]
    root = math.sqrt(len(taps))
    for below in itertools.product((True, False), repeat=len(found.counts)):
        rows, columns = taps.shape[1:]
        down = math.prod(q for q, side in zip(found.counts, below, strict=True) if side)
        sides = down * rows, len(taps) // down * columns
        if FACTORISATION * min(sides) ** 2 + 3 * taps.numel() <= ROOM:
            bounds.append(root * float(certified_norm(_unfolded(taps, found, below, sides))))
    return min(bounds)


def _unfolded(
    taps: Tensor, found: Symbol, below: tuple[bool, ...], sides: tuple[int, int]
) -> Tensor:
    """Return all taps as one matrix, those of the dimensions `below` one below another."""
    dims = len(found.counts)
    down = [i for i in range(dims) if below[i]]
    across = [i for i in range(dims) if not below[i]]
    spread = taps.reshape(*found.counts, *taps.shape[1:])
    return spread.permute(*down, dims, *across, dims + 1).reshape(sides)
