"""Where a symbol's norm is greatest: a search, whose result is an estimate from below."""

import itertools
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from lit_intriguing.solvers.spectral.symbol import Symbol

STARTS = 4
"""Coarse frequencies from which the search climbs."""


@dataclass(frozen=True)
class Peak:
    """A frequency ``(d,)`` in radians, its group of channels, and the norm there (from below)."""

    angles: Tensor
    group: int
    norm: float


def find_peak(found: Symbol, *, rounds: int = 5) -> Peak:
    """Search the frequency at which the norm is greatest.

    From the best of a coarse grid, in turn: the singular vectors at the frequency, and the
    frequency at which ``|u* A v|`` is greatest for those vectors, which is a polynomial of few
    coefficients. Each turn can only raise the norm.

    Args:
        found: The symbol.
        rounds: Of these turns.

    Returns:
        The best that was found, usually a global maximum.
    """
    angles, groups = _coarse(found)
    norms = norms_at(found, angles, groups)
    best = norms.topk(min(STARTS, len(norms))).indices
    peaks = [_climb(found, angles[i], int(groups[i]), rounds) for i in best]
    return max(peaks, key=lambda peak: peak.norm)


def norms_at(found: Symbol, angles: Tensor, groups: Tensor, steps: int = 12) -> Tensor:
    """Estimate norms from below by power steps, ``(B,)``."""
    size = found.taps.shape[-1] * found.taps.shape[-2]
    batch = max(1, 2**21 // max(1, size))
    parts = [
        _power(found.at(some, which), steps)[0]
        for some, which in zip(torch.split(angles, batch), torch.split(groups, batch), strict=True)
    ]
    return torch.cat(parts)


def _power(matrices: Tensor, steps: int) -> tuple[Tensor, Tensor, Tensor]:
    """Norms from below, left and right vectors, of ``(B, m, n)``."""
    generator = torch.Generator().manual_seed(0)
    draw = torch.randn(matrices.shape[-1], 1, dtype=torch.float64, generator=generator)
    right = draw.to(matrices).expand(len(matrices), -1, -1)
    for _ in range(steps):
        left = matrices @ right
        right = matrices.mH @ left
        right = right / torch.linalg.vector_norm(right, dim=1, keepdim=True).clamp(min=1e-300)
    left = matrices @ right
    norms = torch.linalg.vector_norm(left, dim=1, keepdim=True)
    return norms.flatten(), (left / norms.clamp(min=1e-300))[..., 0], right[..., 0]


def _coarse(found: Symbol) -> tuple[Tensor, Tensor]:
    lines = [
        torch.arange(4 if count > 1 else 1, dtype=torch.float64) * (math.pi / 2)
        for count in found.counts
    ]
    points = torch.cartesian_prod(*lines).reshape(-1, len(lines))
    groups = torch.arange(len(found.taps))
    return points.repeat(len(groups), 1), groups.repeat_interleave(len(points))


def _climb(found: Symbol, angles: Tensor, group: int, rounds: int) -> Peak:
    which = torch.tensor([group])
    best = Peak(angles, group, 0.0)
    for _ in range(rounds):
        norm, left, right = _power(found.at(angles[None], which), 20)
        if float(norm) <= best.norm * (1 + 1e-7):
            break
        best = Peak(angles, group, float(norm))
        angles = _best_angle(found, angles, found.along(group, left[0], right[0]))
    return best


def _best_angle(found: Symbol, angles: Tensor, taps: Tensor) -> Tensor:
    """Where ``|sum_q taps[q] exp(i q xi)|`` is greatest near an angle, by a shrinking pattern."""
    dims = len(found.counts)
    moves = torch.tensor(list(itertools.product((-2.0, -1.0, 0.0, 1.0, 2.0), repeat=dims)))
    wide = torch.tensor([count > 1 for count in found.counts])
    step = math.pi / 6
    while step > 1e-5:
        points = angles + step * moves * wide
        values = (torch.exp(1j * (points @ found.offsets.T)) @ taps).abs()
        angles = points[int(values.argmax())]
        step /= 2
    return angles.remainder(2 * math.pi)
