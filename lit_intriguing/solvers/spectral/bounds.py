"""Certified bounds of a convolution's norm: for images of any size, and of a given one."""

import itertools
import math
from collections.abc import Sequence

import torch

from lit_intriguing.solvers.spectral.by_taps import by_taps, too_large
from lit_intriguing.solvers.spectral.cells import Frequencies, greatest_norm
from lit_intriguing.solvers.spectral.cropped import cropped
from lit_intriguing.solvers.spectral.dense import certified_norm
from lit_intriguing.solvers.spectral.padded_axis import PaddedAxis
from lit_intriguing.solvers.spectral.peak import Peak, find_peak, find_peaks, norms_at
from lit_intriguing.solvers.spectral.rounding import rounded_up
from lit_intriguing.solvers.spectral.samples import (
    Samples,
    batches_of_groups,
    farthest,
    greatest_sample,
    leaning,
    margin,
)
from lit_intriguing.solvers.spectral.stripes import SIDE, striped, worthwhile
from lit_intriguing.solvers.spectral.symbol import Symbol

TOLERANCE = 3e-4
"""How far the supremum may stand above the truth, relative."""

CLOSE = 1e-6
"""The same of the greatest sample."""

FEW = 4096
"""Samples up to which nobody asks for the supremum to save work."""

FAR = 0.25
"""Distance of any frequency from a sample, at most, with which the supremum saves no work."""

VERY_MANY = 2**25
"""Samples beyond which they are as good as all frequencies: within 1e-6 in two dimensions."""

MIDDLING = 11
"""Outputs a side from which the image's edge need not be taken exactly in one dimension."""

WORTH = 1e9
"""Multiplications of an exact stripe from which it is avoided."""

MANY = 4
"""Groups up to which each is looked at by itself."""


def supremum(found: Symbol, tolerance: float = TOLERANCE) -> float:
    """Bound the norm of the convolution of images of any size, zeros around them.

    Args:
        found: Its symbol.
        tolerance: How far above `sup sigma(A(xi))` the bound may stand, relative.

    Returns:
        Not below the supremum, which is the norm for images without end; farther above it where
        `too_large` says why.
    """
    direct = _directly(found)
    if direct is not None:
        return direct
    return _supremum(found, find_peak(found), tolerance)


def _directly(found: Symbol) -> float | None:
    """Return the bound where no frequencies are looked at: of none or one tap, of too many."""
    if not bool(found.taps.any()):  # without end cells would be split to look for the greatest 0
        return 0.0
    if max(found.counts) == 1:
        return float(certified_norm(found.taps[:, 0]).max())
    return by_taps(found) if too_large(found) else None


def _supremum(found: Symbol, peak: Peak, tolerance: float) -> float:
    domain = Frequencies(found.counts, not found.taps.is_complex(), parts=2 * max(found.counts))
    return greatest_norm(found, domain, peak.norm, tolerance)


def padded(found: Symbol, axes: Sequence[PaddedAxis]) -> float:
    """Bound the norm of a zero-padded convolution of images of a given size.

    Args:
        found: The symbol.
        axes: Its dimensions.

    Returns:
        The bound: of small images exact in one dimension, or by samples that the image's edge
        weakens where that would be much work; of large ones by samples alone. Where `too_large`
        says why, that for images of any size, by taps.
    """
    direct = _directly(found)
    if direct is not None:
        return direct
    peaks, periods = find_peaks(found), [axis.period for axis in axes]
    peak = peaks[0]
    if _is_middling(found, axes):
        bound = cropped(found, peaks, axes)
        if bound is not None:
            return bound
    worth = worthwhile(found, axes)
    if not worth or math.prod(periods) > VERY_MANY:
        return _sampled(found, peak, periods)
    above = None if _are_few(found, periods) else _supremum(found, peak, 1e-3)
    return striped(found, peak, axes, worth, above)


def _is_middling(found: Symbol, axes: Sequence[PaddedAxis]) -> bool:
    """Whether each side is of a length at which the edge counts, but does not count for most."""
    sides = [axis.outputs for axis, count in zip(axes, found.counts, strict=True) if count > 1]
    if len(found.taps) > MANY or not MIDDLING <= min(sides) <= max(sides) <= SIDE:
        return False
    order = min(found.taps.shape[-2:])
    return len(sides) > 1 and 4.0 * min(sides) * order**3 * max(found.counts) ** 2 > WORTH


def _are_few(found: Symbol, sizes: Sequence[int]) -> bool:
    return math.prod(sizes) * len(found.taps) <= FEW


def sampled(found: Symbol, sizes: Sequence[int], thetas: Sequence[float] | None = None) -> float:
    """Bound `max_j sigma(A(2 pi (j + theta) / M))` over samples `j`.

    Circular convolution of period `s M` has this norm for theta = 0; for any theta it is that of
    the circular convolution between two multiplications by phases, which keep norms.

    Args:
        found: The symbol.
        sizes: M in each dimension.
        thetas: theta in each dimension; without them 0 or 1/2 in each, whichever looks best.

    Returns:
        The bound, above the truth by at most about 1e-6; by 3e-4 or more of more than `VERY_MANY`
        samples, and farther where `too_large` says why.
    """
    direct = _directly(found)
    if direct is not None:
        return direct
    return _sampled(found, find_peak(found), sizes, thetas)


def _sampled(
    found: Symbol, peak: Peak, sizes: Sequence[int], thetas: Sequence[float] | None = None
) -> float:
    sizes = [size if count > 1 else 1 for size, count in zip(sizes, found.counts, strict=True)]
    if math.prod(sizes) > VERY_MANY:
        return _supremum(found, peak, TOLERANCE)
    ways = [(0.5, 0.0) if size > 1 else (0.0,) for size in sizes]
    choices = itertools.product(*ways) if thetas is None else [tuple(thetas)]
    scores = {choice: _at_peak(found, peak, sizes, choice) for choice in choices}
    best = min(scores, key=lambda choice: scores[choice])
    tau, lean = scores[best] * (1 + CLOSE), None
    if not _are_few(found, sizes) and farthest(found, sizes) > FAR:  # few in one dimension
        lean = leaning(tau, _supremum(found, peak, 1e-3))
    for groups in batches_of_groups(found, sizes):
        tau = greatest_sample(found, Samples(found, sizes, best, groups, lean), tau, CLOSE)
    return rounded_up(tau + margin(found, tau))


def _at_peak(found: Symbol, peak: Peak, sizes: Sequence[int], thetas: Sequence[float]) -> float:
    """Return the greatest norm of the samples around the peak, from below."""
    size, theta = torch.tensor(sizes), torch.tensor(thetas)
    place = peak.angles * size / (2 * math.pi) - theta
    corners = torch.tensor(list(itertools.product((0.0, 1.0), repeat=len(sizes))))
    points = 2 * math.pi * ((place.floor() + corners) % size + theta) / size
    groups = torch.full((len(points),), peak.group)
    return float(norms_at(found, points.double(), groups, steps=30).max())
