"""The greatest norm of a symbol over a set of frequencies, by cells that shrink near the peak."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from lit_intriguing.solvers.spectral.dense import clearly_below, definite
from lit_intriguing.solvers.spectral.lanczos import top_values
from lit_intriguing.solvers.spectral.rounding import rounded_up
from lit_intriguing.solvers.spectral.samples import WIDEST, margin
from lit_intriguing.solvers.spectral.symbol import Symbol

ENOUGH = 4096
"""Cells after which the tolerance doubles at each splitting: a symbol that is flat has no peak."""


@dataclass(frozen=True)
class Cells:
    """Boxes of frequencies, each of which its centre stands for.

    Attributes:
        low: First corner, `(B, d)`, in radians.
        high: Last corner, both included.
        groups: `(B,)`, which group of channels.
    """

    low: Tensor
    high: Tensor
    groups: Tensor

    def __len__(self) -> int:
        return len(self.groups)

    def select(self, which: Tensor) -> "Cells":
        """Those of an index or a mask."""
        return Cells(self.low[which], self.high[which], self.groups[which])


class Frequencies:
    """All real frequencies, up to the symmetry of real weights: cells are boxes in radians."""

    def __init__(self, counts: Sequence[int], real: bool, parts: int) -> None:
        self._parts = parts
        self._ends = [2 * math.pi if count > 1 else 0.0 for count in counts]
        if real:  # A(-xi) is the conjugate of A(xi), in all dimensions at once
            first = next((i for i, end in enumerate(self._ends) if end), 0)
            self._ends[first] /= 2

    def cells(self, groups: int) -> Cells:
        """Return the first cells."""
        lines = []
        for end in self._ends:
            count = self._parts if end else 1
            edges = torch.linspace(0, end, count + 1, dtype=torch.float64)
            lines.append(torch.stack([edges[:-1], edges[1:]], -1))
        return _grid_of(lines, groups)

    def point(self, cells: Cells) -> Tensor:
        """Return the centre, in radians."""
        return (cells.low + cells.high) / 2

    def reach(self, cells: Cells) -> Tensor:
        """At least how far the cell goes from its point, `(B, d)`, radians."""
        return (cells.high - cells.low) / 2 * (1 + 1e-12) + 1e-14

    def split(self, cells: Cells) -> Cells:
        """Halves in each dimension that has an extent."""
        middle = (cells.low + cells.high) / 2
        return _halves(cells, middle, middle, [end > 0 for end in self._ends])


def _grid_of(lines: Sequence[Tensor], groups: int) -> Cells:
    index = torch.cartesian_prod(*[torch.arange(n) for n in (groups, *map(len, lines))])
    index = index.reshape(-1, 1 + len(lines))
    pairs = [line[index[:, i + 1]] for i, line in enumerate(lines)]
    low, high = (torch.stack([pair[:, side] for pair in pairs], -1) for side in (0, 1))
    return Cells(low, high, index[:, 0])


def _halves(cells: Cells, end: Tensor, start: Tensor, wide: Sequence[bool]) -> Cells:
    choices = itertools.product(*[(0, 1) if both else (2,) for both in wide])
    parts = []
    for choice in choices:
        which = torch.tensor(choice)
        low = torch.where(which == 1, start, cells.low)
        high = torch.where(which == 0, end, cells.high)
        parts.append(Cells(low, high, cells.groups))
    return joined(parts)


def joined(parts: Sequence[Cells]) -> Cells:
    """All in one."""
    return Cells(*(torch.cat([getattr(p, f) for p in parts]) for f in ("low", "high", "groups")))


def greatest_norm(found: Symbol, domain: Frequencies, start: float, tolerance: float) -> float:
    """Bound the supremum S of `sigma(A(xi))` over all frequencies from above.

    In a cell whose points lie within the distance w of its centre (see `samples`), w below pi / 2,
    no norm exceeds the target `tau` if the centre's is at most `tau cos(w)`: where S is reached,
    the centre's is at least `S cos(w)`. Cells that fail are split. The target starts at the
    greatest norm seen and grows with it.

    Args:
        found: The symbol.
        domain: Its frequencies.
        start: A norm that occurs there, or an estimate; it decides about the time alone.
        tolerance: How far the target stands above the greatest norm seen, relative; it grows where
            very many cells fail.

    Returns:
        The bound; above the truth by about the tolerance.
    """
    tau = start * (1 + tolerance)
    cells, looks = domain.cells(len(found.taps)), 0
    while len(cells):
        failed = []
        for rows in torch.split(torch.arange(len(cells)), found.batch):
            kept, squares = _failing(found, domain, cells.select(rows), tau)
            failed.append(rows[kept])
            if len(squares):  # what passed before passes with a higher target
                tau = max(tau, float(top_values(squares).max()) ** 0.5 * (1 + tolerance))
        looks += len(cells)
        if looks > ENOUGH:
            tolerance *= 2
        cells = domain.split(cells.select(torch.cat(failed)))
    return rounded_up(tau + margin(found, tau))


def _failing(found: Symbol, domain: Frequencies, cells: Cells, tau: float) -> tuple[Tensor, Tensor]:
    """Which cells do not pass, and the Gram matrices of those of them that were looked at."""
    limits = tau * _shares(domain.reach(cells), found.counts)
    open_ = torch.ones(len(cells), dtype=torch.bool)
    tested = (limits > 0).nonzero()[:, 0]
    chosen = cells.select(tested)
    squares = found.squares_at(domain.point(chosen), chosen.groups)
    for proves in (clearly_below, partial(definite, whole=True)):
        passed = proves(squares, limits[tested].square())
        open_[tested[passed]] = False
        tested, squares = tested[~passed], squares[~passed]
    return open_, squares


def _shares(reach: Tensor, counts: Sequence[int]) -> Tensor:
    """Return the share of the target that a centre's norm may be; 0: split without looking."""
    taps = torch.tensor(counts, dtype=torch.float64)
    width = (reach * (taps - 1) / 2).sum(-1)
    return torch.where(width < WIDEST, width.cos() * (1 - 1e-13), 0.0)
