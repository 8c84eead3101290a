"""Units against random bases: an exact test, an effect with its interval, a verdict."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Verdict = Literal["units", "random", "no distinction", "undecided"]

LEVEL = 0.05
"""Largest p at which a verdict names a side."""

MARGIN = 0.5
"""Effects within this distance of zero count as no distinction."""

ROTATIONS = 39
"""Random bases: the fewest with which the two-sided p can reach 0.05."""

_TIE = 1e-12
"""Statistics this near are equal: sums of the same numbers in another order differ a little."""


@dataclass(frozen=True)
class HaarTest:
    """An exact test of units against whole random bases.

    If nothing distinguishes the units, their statistic and those of B random rotations of the
    space are exchangeable, so that the rank of the first among all is uniform.

    Attributes:
        statistic: Of the units.
        random: Of each random basis, `(B,)`.
    """

    statistic: float
    random: Tensor

    @property
    def greater(self) -> float:
        """One-sided p: how often chance gives a statistic as large."""
        return self._p(int((self.random >= self.statistic - _TIE).sum()))

    @property
    def less(self) -> float:
        """One-sided p: how often chance gives a statistic as small."""
        return self._p(int((self.random <= self.statistic + _TIE).sum()))

    @property
    def p(self) -> float:
        """Two-sided p."""
        return min(1.0, 2 * min(self.greater, self.less))

    def _p(self, beyond: int) -> float:
        return (1 + beyond) / (len(self.random) + 1)


def mean_test(units: Tensor, random: Tensor) -> HaarTest:
    """Test the mean coherence.

    Args:
        units: `(m,)` coherence of each unit.
        random: `(B, m)` coherence of each direction of each random basis.

    Examples:
        >>> mean_test(torch.ones(2), torch.zeros(39, 2)).p
        0.05
    """
    return HaarTest(float(units.double().mean()), random.double().mean(1))


def top_tenth_test(units: Tensor, random: Tensor, share: float = 0.1) -> HaarTest:
    """Test the mean coherence of the best tenth of the directions: finds a few special units.

    Args:
        units: `(m,)` coherence of each unit.
        random: `(B, m)` coherence of each direction of each random basis.
        share: The part of the directions that counts as the best; at least one direction.
    """
    return mean_test(_best(units[None], share)[0], _best(random, share))


def _best(coherence: Tensor, share: float) -> Tensor:
    count = max(1, math.ceil(share * coherence.shape[1] - 1e-9))
    return coherence.topk(count, dim=1).values


@dataclass(frozen=True)
class Effect:
    """A difference in standard deviations, with its interval.

    Attributes:
        value: The difference; 0 is none.
        low: Lower end of the interval.
        high: Upper end.
    """

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:+.2f} [{self.low:+.2f}, {self.high:+.2f}]"


def effect(
    units: Tensor, random: Tensor, *, resamples: int = 2000, level: float = 0.95, seed: int = 0
) -> Effect:
    """Measure how much more coherent units are than random directions.

    Args:
        units: `(m,)` coherence of each unit.
        random: `(B, m)` coherence of each direction of each random basis.
        resamples: Of the bootstrap, over units and over bases.
        level: Of the interval.
        seed: Of the bootstrap.

    Returns:
        The difference of the means in standard deviations of single random directions. Where
        these do not vary at all it is zero or infinite.
    """
    units, random = units.double(), random.double()
    generator = torch.Generator().manual_seed(seed)
    means, squares = random.mean(1), random.square().mean(1)
    value = _standardised(units.mean(), means.mean(), squares.mean())
    unit_means = _resampled(units, resamples, generator)
    picks = torch.randint(len(random), (resamples, len(random)), generator=generator)
    drawn = _standardised(unit_means, means[picks].mean(1), squares[picks].mean(1))
    # Where every value is infinite, an interpolated quantile would be NaN.
    low, high = (
        float(drawn.quantile(at, interpolation="nearest"))
        for at in ((1 - level) / 2, (1 + level) / 2)
    )
    return Effect(float(value), low, high)


def _standardised(units: Tensor, mean: Tensor, square: Tensor) -> Tensor:
    difference = units - mean
    variance = square - mean.square()
    # Rounding leaves a little of a variance that is zero.
    deviation = variance.where(variance > 1e-12, 0).clamp_min(0).sqrt()
    return difference.where(difference.abs() > _TIE, 0) / deviation.where(
        (deviation > 0) | (difference.abs() > _TIE), 1
    )


def _resampled(values: Tensor, resamples: int, generator: torch.Generator) -> Tensor:
    """Return the means of resamples, some at a time."""
    count = len(values)
    at_once = max(1, 4_000_000 // count)
    return torch.cat(
        [
            values[
                torch.randint(count, (min(at_once, resamples - done), count), generator=generator)
            ].mean(1)
            for done in range(0, resamples, at_once)
        ]
    )


def verdict(p: float, found: Effect) -> Verdict:
    """Say what a test and an effect come to.

    Args:
        p: Two-sided p of the mean.
        found: The effect.

    Returns:
        `units` or `random` where p is at most 0.05 and the whole interval lies more than 0.5
        above or below zero; `no distinction` where it lies within 0.5 of zero; else `undecided`.

    Examples:
        >>> verdict(0.05, Effect(0.9, 0.8, 1.1)), verdict(0.05, Effect(0.1, -0.1, 0.3))
        ('units', 'no distinction')
    """
    if p <= LEVEL and found.low > MARGIN:
        return "units"
    if p <= LEVEL and found.high < -MARGIN:
        return "random"
    if found.low >= -MARGIN and found.high <= MARGIN:
        return "no distinction"
    return "undecided"
