"""The greatest norm of a symbol over a set of frequencies, by cells that shrink near the peak."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lit_intriguing.solvers.spectral.dense import definite, norm_below, top_eigenvalue
from lit_intriguing.solvers.spectral.rounding import frobenius, rounded_up
from lit_intriguing.solvers.spectral.symbol import Symbol

ENOUGH = 4096
"""Cells after which the tolerance doubles at each splitting: a symbol that is flat has no peak."""

WIDEST = 1.3
"""Angle from which a cell is split without a look: the cosine divides the rounding errors."""


@dataclass(frozen=True)
class Cells:
    """Boxes of frequencies, each with a frequency in it that stands for it.

    Attributes:
        low: First corner, `(B, d)`, in steps of a grid or in radians.
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


class Samples:
    """The frequencies `2 pi (j + theta) / M`: cells are ranges of j."""

    def __init__(self, sizes: Sequence[int], thetas: Sequence[float], parts: int) -> None:
        self._sizes = torch.tensor(sizes, dtype=torch.float64)
        self._thetas = torch.tensor(thetas, dtype=torch.float64)
        self._parts = parts
        self._lasts = [size - 1 for size in sizes]

    def halved(self) -> "Samples":
        """Without those that the symmetry of real weights gives: theta 0 and 1/2 in all."""
        sizes = [int(size) for size in self._sizes]
        first = max(range(len(sizes)), key=lambda i: sizes[i])
        half = sizes[first] // 2 if self._thetas[first] == 0 else (sizes[first] - 1) // 2
        self._lasts[first] = half
        return self

    def cells(self, groups: int) -> Cells:
        """Return the first cells."""
        lines = []
        for last in self._lasts:
            step = max(1, -(-(last + 1) // self._parts))
            low = torch.arange(0, last + 1, step, dtype=torch.float64)
            lines.append(torch.stack([low, (low + step - 1).clamp(max=last)], -1))
        return _grid_of(lines, groups)

    def _middle(self, cells: Cells) -> Tensor:
        return ((cells.low + cells.high) / 2).floor()

    def point(self, cells: Cells) -> Tensor:
        """Return the sample next to the centre, in radians."""
        return 2 * math.pi * (self._middle(cells) + self._thetas) / self._sizes

    def reach(self, cells: Cells) -> Tensor:
        """At least how far the cell goes from its point, `(B, d)`; zero of one sample."""
        middle = self._middle(cells)
        far = torch.maximum(middle - cells.low, cells.high - middle)
        return far * (2 * math.pi * (1 + 1e-12)) / self._sizes

    def split(self, cells: Cells) -> Cells:
        """Halves in each dimension; single samples stay."""
        middle = self._middle(cells)
        parts = _halves(cells, middle, middle + 1, [last > 0 for last in self._lasts])
        return parts.select((parts.low <= parts.high).all(-1))


Domain = Frequencies | Samples


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


def greatest_norm(
    found: Symbol, domain: Domain, start: float, *, above: float | None, tolerance: float
) -> float:
    """Bound `max sigma(A(xi))` over all frequencies of a domain from above.

    Along the segment from a cell's point to the frequency where the norm is greatest, the phase
    in the middle taken out, `Re u* A v` is a real trigonometric function of exponential type
    `w = sum_i reach_i (Q_i - 1) / 2`, bounded by the supremum S of the norm. It cannot fall
    faster than the cosine (Duffin and Schaeffer 1938): the norm at the point is at least
    `S cos(w)`, and anywhere in the cell at most `S cos(arccos(norm at the point / S) - w)`.
    Hence a cell passes with the target `tau` if its point's norm is at most

    * `tau cos(w)`, where S itself is sought, and w below pi / 2;
    * `S cos(arccos(tau / S) + w)`, where S is known and the domain is a part; `tau` where the
      cell is a single frequency.

    Cells that fail are split. The target starts at the greatest norm seen and grows with it.

    Args:
        found: The symbol.
        domain: Where.
        start: A norm that occurs there, or an estimate; it decides about the time alone.
        above: S or an upper bound of it, where the domain is a part; None for all frequencies.
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
            kept, squares = _failing(found, domain, cells.select(rows), tau, above)
            failed.append(rows[kept])
            tau = max(tau, _greatest(squares) * (1 + tolerance))  # what passed before passes now
        looks += len(cells)
        if looks > ENOUGH:
            tolerance *= 2
        cells = domain.split(cells.select(torch.cat(failed)))
    if above is not None and tau >= above:
        return above
    return rounded_up(tau + _margin(found, tau))


def _margin(found: Symbol, tau: float) -> float:
    """How far above the target the norm may be where all cells passed, by rounding."""
    order = min(found.taps.shape[-2:])
    # At the widest angle the error of a test at a lower target weighs 1 / cos(1.3)^2 = 14 times.
    return 16 * (norm_below(tau * tau, order, found.squares_error) - tau)


def frequencies_above(
    found: Symbol, domain: Samples, tau: float, above: float | None = None
) -> tuple[Cells, float]:
    """Return the single frequencies of a domain whose norm exceeds a target, about.

    Args:
        found: The symbol.
        domain: Where.
        tau: The target.
        above: As of `greatest_norm`; None: each frequency is looked at by itself.

    Returns:
        Those that do not pass, and how far above tau the norms of the others may be.
    """
    cells = domain.cells(len(found.taps))
    single = []
    while len(cells):
        failed = [
            rows[_failing(found, domain, cells.select(rows), tau, above)[0]]
            for rows in torch.split(torch.arange(len(cells)), found.batch)
        ]
        cells = cells.select(torch.cat(failed))
        alone = (cells.low == cells.high).all(-1)
        single.append(cells.select(alone))
        cells = domain.split(cells.select(~alone))
    return joined(single), _margin(found, tau)


def _failing(
    found: Symbol, domain: Domain, cells: Cells, tau: float, above: float | None
) -> tuple[Tensor, Tensor]:
    """Which cells do not pass, and the Gram matrices of those of them that were looked at."""
    limits = _limits(domain.reach(cells), found.counts, tau, above)
    open_ = torch.ones(len(cells), dtype=torch.bool)
    tested = (limits > 0).nonzero()[:, 0]
    chosen = cells.select(tested)
    squares = found.squares_at(domain.point(chosen), chosen.groups)
    for proves in (_clearly_below, definite):
        passed = proves(squares, limits[tested].square())
        open_[tested[passed]] = False
        tested, squares = tested[~passed], squares[~passed]
    return open_, squares


def _clearly_below(squares: Tensor, levels: Tensor) -> Tensor:
    return frobenius(squares) <= levels


def _limits(reach: Tensor, counts: Sequence[int], tau: float, above: float | None) -> Tensor:
    """Return the norm that a cell's point may have, `(B,)`; zero or less: split without looking."""
    taps = torch.tensor(counts, dtype=torch.float64)
    width = (reach * (taps - 1) / 2).sum(-1)
    if above is None:
        start, top = 0.0, tau
    else:
        # The quotient's rounding moves an angle next to zero by less than 1e-7.
        start, top = math.acos(min(1.0, tau / above)) + 1e-7, above
    angle = width + start
    limits = torch.where(angle < WIDEST, top * angle.cos() * (1 - 1e-13), 0.0)
    return torch.where(width == 0, tau, limits.clamp(max=tau))


def _greatest(squares: Tensor) -> float:
    """Return the greatest norm among matrices, of the one where power steps see most."""
    if not len(squares):
        return 0.0
    generator = torch.Generator().manual_seed(0)
    draw = torch.randn(squares.shape[-1], 1, dtype=torch.float64, generator=generator)
    x = draw.to(squares).expand(len(squares), -1, -1)
    for _ in range(8):
        x = squares @ x
        x = x / torch.linalg.vector_norm(x, dim=1, keepdim=True).clamp(min=1e-300)
    seen = (x.mH @ squares @ x).real.flatten()
    return math.sqrt(max(0.0, top_eigenvalue(squares[int(seen.argmax())])))
