"""Where a symbol's norm is greatest: a search, whose result is an estimate from below."""

import itertools
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from lit_intriguing.solvers.spectral.symbol import Symbol

STARTS = 4
"""Coarse frequencies from which the search climbs."""

MANY = 128
"""Points of the coarse grid up to which it is as fine as the norm varies."""


@dataclass(frozen=True)
class Peak:
    """A frequency `(d,)` in radians, its group of channels, and the norm there (from below)."""

    angles: Tensor
    group: int
    norm: float


def find_peak(found: Symbol, *, rounds: int = 5) -> Peak:
    """Search the frequency at which the norm is greatest; see `find_peaks`."""
    return find_peaks(found, rounds=rounds)[0]


def find_peaks(found: Symbol, *, rounds: int = 5) -> list[Peak]:
    """Search frequencies at which the norm is great.

    From the best of a coarse grid, in turn: the singular vector u at the frequency, and the
    frequency at which `|A* u|` is greatest, whose square is a polynomial of few coefficients.
    Each turn can only raise the norm.

    Args:
        found: The symbol.
        rounds: Of these turns.

    Returns:
        The best that were found, the first usually a global maximum; two may be the same.
    """
    angles, groups = _coarse(found)
    norms = norms_at(found, angles, groups)
    best = norms.topk(min(STARTS, len(norms))).indices
    peaks = [_climb(found, angles[i], int(groups[i]), rounds) for i in best]
    return sorted(peaks, key=lambda peak: -peak.norm)


def norms_at(found: Symbol, angles: Tensor, groups: Tensor, steps: int = 12) -> Tensor:
    """Estimate norms from below by power steps, `(B,)`."""
    pairs = zip(torch.split(angles, found.batch), torch.split(groups, found.batch), strict=True)
    return torch.cat([_power(found.squares_at(*pair), steps)[0] for pair in pairs])


def _power(squares: Tensor, steps: int, start: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Norms from below `(B,)` and vectors `(B, k)` of Gram matrices `(B, k, k)`."""
    generator = torch.Generator().manual_seed(0)
    draw = torch.randn(squares.shape[-1], 1, dtype=torch.float64, generator=generator)
    single = squares.to(torch.complex64)  # an estimate can do with half of the memory traffic
    vector = draw.to(single).expand(len(squares), -1, -1) if start is None else start[..., None]
    for _ in range(steps):
        vector = single @ vector
        vector = vector / torch.linalg.vector_norm(vector, dim=1, keepdim=True).clamp(min=1e-30)
    quotients = (vector.mH @ (single @ vector)).real.flatten()
    return quotients.double().clamp(min=0).sqrt(), vector[..., 0]


def _coarse(found: Symbol) -> tuple[Tensor, Tensor]:
    """Return a grid, as fine as the norm varies where that is not too many points."""
    wide = [count > 1 for count in found.counts]
    sides = [2 * count if more else 1 for count, more in zip(found.counts, wide, strict=True)]
    if math.prod(sides) > MANY:
        sides = [4 if more else 1 for more in wide]
    ends = list(sides)
    if not found.taps.is_complex() and any(wide):  # the others are conjugates
        ends[wide.index(True)] = sides[wide.index(True)] // 2 + 1
    lines = [
        torch.arange(end, dtype=torch.float64) * (2 * math.pi / side)
        for end, side in zip(ends, sides, strict=True)
    ]
    points = torch.cartesian_prod(*lines).reshape(-1, len(lines))
    groups = torch.arange(len(found.taps))
    return points.repeat(len(groups), 1), groups.repeat_interleave(len(points))


def _climb(found: Symbol, angles: Tensor, group: int, rounds: int) -> Peak:
    which = torch.tensor([group])
    best, vectors = Peak(angles, group, 0.0), None
    for _ in range(rounds):
        norm, vectors = _power(found.squares_at(angles[None], which), 20, vectors)
        if float(norm) <= best.norm * (1 + 1e-6):
            break
        best = Peak(angles, group, float(norm))
        angles = _best_angle(found, angles, group, vectors[0].to(torch.complex128))
    return best


def _best_angle(found: Symbol, angles: Tensor, group: int, vector: Tensor) -> Tensor:
    """Where `|A* vector|` is greatest near an angle, by a shrinking pattern."""
    coefficients, offsets = found.squares_along(group, vector)
    dims = len(found.counts)
    moves = torch.tensor(list(itertools.product((-2.0, -1.0, 0.0, 1.0, 2.0), repeat=dims)))
    wide = torch.tensor([count > 1 for count in found.counts])
    step = math.pi / 6
    while step > 1e-5:
        points = angles + step * moves * wide
        values = (torch.exp(1j * (points @ offsets.T)) @ coefficients).real
        angles = points[int(values.argmax())]
        step /= 2
    return angles.remainder(2 * math.pi)
