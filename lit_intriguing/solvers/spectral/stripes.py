"""A bound for small images with zeros around: exact in one dimension, samples in the others."""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lit_intriguing.solvers.spectral.lanczos import ROOM
from lit_intriguing.solvers.spectral.padded_axis import PaddedAxis
from lit_intriguing.solvers.spectral.peak import Peak, norms_at
from lit_intriguing.solvers.spectral.rounding import rounded_up
from lit_intriguing.solvers.spectral.samples import (
    Samples,
    batches_of_groups,
    leaning,
    margin,
    samples_above,
)
from lit_intriguing.solvers.spectral.symbol import Symbol
from lit_intriguing.solvers.spectral.toeplitz import Toeplitz

SIDE = 48
"""Outputs in a dimension up to which it is taken exactly: of more the samples are close enough."""

WORK = 1e11
"""Multiplications of a factorisation up to which it is worth its time: some seconds."""

MASKS = 3
"""Kinds of blocks of a stripe: within the image, and where either end cuts them."""

TOLERANCE = 1e-4
"""How far the bound may stand above the norm of the greatest stripe, relative."""


@dataclass(frozen=True)
class Plan:
    """Which dimension is exact, and the samples `2 pi (j + theta) / M` in all of them."""

    exact: int
    sizes: tuple[int, ...]
    thetas: tuple[float, ...]


class Stripes:
    """A zero-padded convolution, at each frequency across one dimension a block Toeplitz matrix.

    It is a part of a convolution that is circular with period `s M` across and finite along the
    exact dimension. Multiplied by `exp(+-2 pi i theta j / M)` across on both sides, which keeps
    norms and commutes with what happens along, its Fourier transform across is, for each frequency,
    the finite block Toeplitz matrix of the taps `sum_q taps[q, .] exp(i q xi)`: the norm is the
    greatest of theirs. The symbol's norms at the samples of any period that is long enough along
    bound each of them from above, so that few have to be factorised.
    """

    def __init__(self, found: Symbol, axis: PaddedAxis, exact: int) -> None:
        self._exact, self._count = exact, found.counts[exact]
        counts = [count for i, count in enumerate(found.counts) if i != exact] or [1]
        size, rows, columns = len(found.taps), *found.taps.shape[2:]
        spread = found.taps.reshape(size, *found.counts, rows, columns).movedim(1 + exact, -3)
        self._across = Symbol(
            spread.reshape(size, math.prod(counts), self._count * rows, columns), tuple(counts)
        )
        self._kept = _kept(axis, self._count)

    def at(self, angles: Tensor, group: int, phases: Tensor) -> Toeplitz:
        """Return the matrix at a frequency `(d,)`, whose exact dimension does not count.

        Args:
            angles: Radians.
            group: Of channels.
            phases: `(columns,)`, each column's phase of the exact dimension's stride.
        """
        others = torch.cat([angles[: self._exact], angles[self._exact + 1 :]])
        others = others if len(others) else angles.new_zeros(1)
        taps = self._across.at(others[None], torch.tensor([group]))[0]
        taps = taps.reshape(self._count, -1, taps.shape[-1])
        if not taps.is_complex() or not taps.imag.any():
            taps = taps.real.contiguous()
        made = Toeplitz(taps, self._kept[:, phases])
        other = made.turned()
        return other if other.work < made.work else made

    @property
    def error(self) -> float:
        """At most the norm of the rounding error of the matrices."""
        return math.sqrt(self._count) * (1 + 1e-9) * self._across.error


def _kept(axis: PaddedAxis, count: int) -> Tensor:
    """Which phases of the blocks that are read lie on a pixel, `(blocks, s)`."""
    blocks = axis.outputs + count - 1
    places = torch.arange(blocks * axis.stride).reshape(blocks, axis.stride)
    return (places >= axis.first) & (places < axis.first + axis.pixels)


def worthwhile(found: Symbol, axes: Sequence[PaddedAxis]) -> list[int]:
    """Return the dimensions that can be taken exactly: none is too long, or too much work."""
    return [i for i in range(len(axes)) if _is_worth(found, axes[i], i)]


def striped(
    found: Symbol,
    peak: Peak,
    axes: Sequence[PaddedAxis],
    worth: Sequence[int],
    above: float | None,
) -> float:
    """Bound the norm of a zero-padded convolution.

    Args:
        found: Its symbol.
        peak: Of the symbol's norm.
        axes: Its dimensions.
        worth: Those of which one is taken exactly; see `worthwhile`.
        above: An upper bound of the symbol's norm, which saves work where samples are many; without
            it each is looked at by itself.

    Returns:
        The bound.
    """
    plan = _best_plan(found, peak, axes, worth)
    stripes = Stripes(found, axes[plan.exact], plan.exact)
    phases = _phases(found, axes, plan.exact)
    at_peak = [stripes.at(angles, peak.group, phases) for angles in _beside(peak, plan)]
    tau = max(max(matrix.estimate() for matrix in at_peak), 1e-6 * peak.norm) * (1 + TOLERANCE)
    bound = tau + margin(found, tau)
    for angles, group in _not_below(found, plan, tau, above):
        matrix = stripes.at(angles, group, phases)
        tau = _raised(matrix, tau)
        bound = max(bound, matrix.norm_below(tau) + stripes.error)
    return rounded_up(bound)


def _not_below(
    found: Symbol, plan: Plan, tau: float, above: float | None
) -> Iterator[tuple[Tensor, int]]:
    """Yield frequency and group of the stripes with a sample whose norm exceeds tau, each once."""
    lean = math.inf if above is None else leaning(tau, above)
    for groups in batches_of_groups(found, plan.sizes):
        samples = Samples(found, plan.sizes, plan.thetas, groups, lean)
        index = samples_above(found, samples, tau)
        index[:, 1 + plan.exact] = 0
        index = torch.unique(index, dim=0)
        yield from zip(samples.angles(index), samples.groups(index).tolist(), strict=True)


def _is_worth(found: Symbol, axis: PaddedAxis, exact: int) -> bool:
    if not 1 <= axis.outputs <= SIDE or found.counts[exact] == 1:
        return False
    rows, columns = found.taps.shape[-2:]
    small, count = min(rows, columns), found.counts[exact]
    factor = axis.outputs * count * small**2
    products = MASKS * count * small * (count * small + columns)
    fits = 2 * (factor + products + 3 * count * rows * columns) <= ROOM  # complex numbers
    return fits and 4.0 * axis.outputs * small**3 * count**2 <= WORK


def _phases(found: Symbol, axes: Sequence[PaddedAxis], exact: int) -> Tensor:
    """Return the phase of each column: columns are channels, then the phases of each dimension."""
    strides = [axis.stride for axis in axes]
    phases = torch.arange(found.taps.shape[-1]) // math.prod(strides[exact + 1 :])
    return phases % strides[exact]


def _best_plan(found: Symbol, peak: Peak, axes: Sequence[PaddedAxis], worth: Sequence[int]) -> Plan:
    """Return the plan whose samples lie farthest from the peak, in units of the norm's fall there.

    Longer periods than the least are tried for that sake.
    """
    fall = fall_of(found, peak, axes)
    plans = []
    for exact in worth:
        ways = [
            _ways(axis, count, i == exact)
            for i, (axis, count) in enumerate(zip(axes, found.counts, strict=True))
        ]
        for way in itertools.product(*ways):
            plans.append(Plan(exact, *zip(*way, strict=True)))
    return max(plans, key=lambda plan: _score(plan, peak, fall))


def _ways(axis: PaddedAxis, count: int, exact: bool) -> list[tuple[int, float]]:
    if count == 1:
        return [(1, 0.0)]
    longer = 1 if exact else 4
    return [(axis.period + more, theta) for more in range(longer) for theta in (0.5, 0.0)]


def _score(plan: Plan, peak: Peak, fall: Sequence[float]) -> tuple[float, float]:
    """How far the norm falls from the peak to the samples; then the same along."""
    score = along = 0.0
    for i, (size, theta) in enumerate(zip(plan.sizes, plan.thetas, strict=True)):
        place = (float(peak.angles[i]) * size / (2 * math.pi) - theta) % 1
        angle = 2 * math.pi * min(place, 1 - place) / size
        if i == plan.exact:
            along = angle
            angle = math.pi / size  # as far as samples can lie
        score += fall[i] * angle**2
    return score, along


def fall_of(found: Symbol, peak: Peak, axes: Sequence[PaddedAxis]) -> list[float]:
    """How fast the norm falls from its peak, in each dimension, per square of the angle."""
    moves = torch.diag(
        torch.tensor([math.pi / (2 * max(1, axis.period)) for axis in axes]).double()
    )
    points = peak.angles + torch.cat([moves, -moves, torch.zeros_like(moves[:1])])
    groups = torch.full((len(points),), peak.group)
    norms = norms_at(found, points, groups, steps=40)
    sides = norms[:-1].reshape(2, -1).mean(0)
    return ((norms[-1] - sides).clamp(min=0) / moves.diagonal() ** 2).tolist()


def _beside(peak: Peak, plan: Plan) -> Iterator[Tensor]:
    """Return the frequencies across that lie on either side of the peak."""
    sides = [(0,) if i == plan.exact or m == 1 else (0, 1) for i, m in enumerate(plan.sizes)]
    sizes, thetas = torch.tensor(plan.sizes).double(), torch.tensor(plan.thetas).double()
    place = (peak.angles * sizes / (2 * math.pi) - thetas).floor()
    for side in itertools.product(*sides):
        yield 2 * math.pi * ((place + torch.tensor(side)) % sizes + thetas) / sizes


def _raised(matrix: Toeplitz, tau: float) -> float:
    """Tau if the matrix passes with it; else the least that is about the matrix's norm."""
    extra = TOLERANCE
    while not matrix.passes(tau):
        tau = max(tau, matrix.estimate()) * (1 + extra)
        extra *= 4
    return tau
