"""The greatest norm of a symbol over samples: each that is looked at answers for a ball of others.

Of two frequencies let the distance be `w = sum_i |angle_i| (Q_i - 1) / 2`. On the way from one to
the other, the phase in the middle taken out, `Re u* A v` is a real trigonometric function of
exponential type 1 in w, nowhere above the supremum S of the norm. Hence it falls at most as the
cosine does (Duffin and Schaeffer 1938): where the norm is `S cos(a)` at one, it is at least
`S cos(a + w)` at the other. Every frequency lies within `w_0 = sum_i (pi / M_i) (Q_i - 1) / 2` of a
sample, so that the greatest norm m of the samples is at least `S cos(w_0)` (Ehlich and Zeller
1964), and `a <= w_0` at that one. So `m <= tau` where each sample lies within w of one whose norm
is at most `tau cos(w + w_0) / cos(w_0)`: nothing needs to be known of S before.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from functools import cached_property, partial

import torch
from torch import Tensor

from lit_intriguing.solvers.spectral.dense import (
    clearly_below,
    definite,
    definite_in_single,
    norm_below,
    single_pays,
)
from lit_intriguing.solvers.spectral.lanczos import QUICK, STEPS, top_values
from lit_intriguing.solvers.spectral.symbol import Symbol

WIDEST = 1.3
"""Angle beyond which a sample answers for no other: the cosine divides the rounding errors."""

MARKS = 2**18
"""Samples that are marked at once, and the most in a ball."""

MOST = 2**22
"""Samples of several groups that are looked after at once."""

SPARE = 5e-4
"""How much higher than its estimate a norm is taken to be, relative, to choose a ball."""

FIRST = 64
"""Steps of Lanczos that raise the target as a rule; where they do not, `STEPS`."""

FRUITLESS = 64
"""Samples in a row of which single precision proves none: neighbours have nearly the same norm."""


def farthest(found: Symbol, sizes: Sequence[int]) -> float:
    """Return `w_0`, within which of any frequency a sample lies."""
    pairs = zip(found.counts, sizes, strict=True)
    return (1 + 1e-12) * sum(math.pi * (count - 1) / (2 * size) for count, size in pairs)


def leaning(tau: float, above: float) -> float:
    """Return at least the arc cosine of a target over an upper bound of the supremum."""
    # The quotient's rounding moves an angle next to zero by less than 1e-7.
    return math.acos(min(1.0, tau / above)) + 1e-7


class Samples:
    """The frequencies `2 pi (j + theta) / M`, and which of them are still open.

    Args:
        found: The symbol.
        sizes: M in each dimension; 1 where the symbol has one tap.
        thetas: theta in each dimension.
        groups: Which groups of channels.
        lean: At least the arc cosine of the target over S; without it `w_0`. Infinite: no sample
            answers for another.
    """

    def __init__(
        self,
        found: Symbol,
        sizes: Sequence[int],
        thetas: Sequence[float],
        groups: Sequence[int],
        lean: float | None = None,
    ) -> None:
        self._groups = torch.tensor(list(groups))
        self._sizes, self._thetas = torch.tensor(sizes), torch.tensor(thetas, dtype=torch.float64)
        taps = torch.tensor(found.counts, dtype=torch.float64)
        self._steps = math.pi * (taps - 1) / self._sizes * (1 + 1e-12)
        self._lean = farthest(found, sizes) if lean is None else lean
        self._open = torch.ones(len(self._groups), *sizes, dtype=torch.bool)
        self._widest = 0
        self._lowest = math.inf
        self._mirrored = not found.taps.is_complex() and set(thetas) <= {0.0, 0.5}
        if self._mirrored:  # A(-xi) is the conjugate of A(xi)
            longest = max(range(len(sizes)), key=lambda i: sizes[i])
            half = sizes[longest] // 2 if thetas[longest] == 0 else (sizes[longest] - 1) // 2
            self._open.narrow(1 + longest, half + 1, sizes[longest] - half - 1).fill_(False)

    @cached_property
    def _ball(self) -> tuple[Tensor, Tensor]:
        """Steps to the samples around one, `(K, d)`, from near to far, and the distances `(K,)`."""
        widest, most = max(0.0, WIDEST - self._lean), self._sizes // 2
        while True:
            reach = (widest / self._steps.clamp(min=1e-300)).clamp(max=most).long()
            if float((2.0 * reach + 1).prod()) <= MARKS:
                break
            widest *= 0.8
        lines = [torch.arange(-n, n + 1) for n in reach.tolist()]
        offsets = torch.cartesian_prod(*lines).reshape(-1, len(lines))
        distances, order = (offsets.abs().double() @ self._steps).sort()
        near = int((distances <= widest).sum())
        return offsets[order[:near]], distances[:near]

    @property
    def alone(self) -> bool:
        """Whether no sample answers for another."""
        return len(self._ball[1]) == 1

    @cached_property
    def beside(self) -> int:
        """How many samples are in the ball of one and its neighbours in each dimension."""
        step = min(float(self._steps.max()) * (1 + 1e-9), float(self._ball[1][-1]))
        return int((self._ball[1] <= step).sum())

    @property
    def flat(self) -> bool:
        """Whether none of the balls chosen last was wider than that: heights tell little."""
        return 0 < self._widest <= self.beside

    @property
    def level(self) -> bool:
        """Whether no height seen was even half as far below the target as `beside` asks for."""
        limit = float(self.limits(torch.tensor([self.beside]), 1.0))
        return self.flat and self._lowest > (1 + limit) / 2

    def open(self) -> Tensor:
        """Return those that are open, `(B, 1 + d)`: place among the groups, and j."""
        return self._open.nonzero()

    def angles(self, index: Tensor) -> Tensor:
        """Return frequencies in radians, `(B, d)`."""
        return 2 * math.pi * (index[:, 1:] + self._thetas) / self._sizes

    def groups(self, index: Tensor) -> Tensor:
        """Return groups of channels, `(B,)`."""
        return self._groups[index[:, 0]]

    def centres(self, batch: int) -> Iterator[tuple[Tensor, int]]:
        """Yield samples to look at: batches of open ones, from coarse lattices to all.

        With each batch comes the size of the balls that it is made for, 0 where it may be any.
        """
        for index, count in self._lattices():
            for rows in torch.split(index, batch):
                still = rows[self._open[tuple(rows.T)]]
                if len(still):
                    yield still, count

    def _lattices(self) -> Iterator[tuple[Tensor, int]]:
        width = float(self._ball[1][-1])
        while not self.alone:
            strides = (width / self._steps.clamp(min=1e-300)).clamp(max=self._sizes).long()
            if int(strides.max()) <= 4:
                break
            strides = strides.clamp(min=1)
            every = (slice(None), *(slice(None, None, stride) for stride in strides.tolist()))
            found = self._open[every].nonzero()
            self._widest = 0
            yield torch.cat([found[:, :1], found[:, 1:] * strides], 1), 0
            width /= 2
            if self._widest:  # no lattice between is as fine as its balls
                width = min(width, float(self._ball[1][self._widest - 1]))
        every_one = self.open()
        dims = len(self._sizes)
        code = every_one[:, 1:] @ torch.arange(1, dims + 1) % (2 * dims + 1)
        yield every_one[code == 0], self.beside  # with their neighbours they are all
        yield every_one, 1

    def widths(self, heights: Tensor, tau: float) -> Tensor:
        """Choose balls.

        Args:
            heights: Norms, about, `(B,)`.
            tau: The target.

        Returns:
            How many samples are in each ball, `(B,)`.
        """
        if self.alone:
            self._widest = 1
            return torch.ones(len(heights), dtype=torch.long)
        self._lowest = min(self._lowest, float(heights.min()) / tau)
        share = heights * (1 + SPARE) / tau * math.cos(self._lean)
        wide = share.clamp(max=1).arccos() - self._lean
        counts = torch.searchsorted(self._ball[1], wide, right=True).clamp(min=1)
        self._widest = max(self._widest, int(counts.max()))
        return counts

    def limits(self, counts: Tensor, tau: float) -> Tensor:
        """Return the norm that the sample in the middle of a ball of so many may have, `(B,)`."""
        distances = self._ball[1][counts - 1]
        if self.alone:
            return torch.full_like(distances, tau)
        low = (distances + self._lean).cos() / math.cos(self._lean) * tau * (1 - 1e-13)
        return torch.where(distances == 0, tau, low)

    def close(self, index: Tensor, counts: Tensor) -> None:
        """Mark the balls around samples as done."""
        _, sizes = torch.unique_consecutive(counts.cumsum(0) // MARKS, return_counts=True)
        parts = (torch.split(whole, sizes.tolist()) for whole in (index, counts))
        for pair in zip(*parts, strict=True):
            self._close(*pair)

    def _close(self, index: Tensor, counts: Tensor) -> None:
        centre = index.repeat_interleave(counts, 0)
        place = torch.arange(len(centre)) - (counts.cumsum(0) - counts).repeat_interleave(counts)
        j = centre[:, 1:] + self._ball[0][place]
        self._open[(centre[:, 0], *(j % self._sizes).T)] = False
        if self._mirrored:
            j = -j - (2 * self._thetas).long()
            self._open[(centre[:, 0], *(j % self._sizes).T)] = False


def batches_of_groups(found: Symbol, sizes: Sequence[int]) -> Iterator[range]:
    """Yield all groups of channels, so many at once that their samples are at most `MOST`."""
    few = max(1, MOST // math.prod(sizes))
    for first in range(0, len(found.taps), few):
        yield range(first, min(first + few, len(found.taps)))


def greatest_sample(found: Symbol, samples: Samples, tau: float, tolerance: float) -> float:
    """Bound the greatest norm of all samples from above.

    Args:
        found: The symbol.
        samples: All of them open; none is afterwards.
        tau: A first target; far from the truth it costs time, and from above tightness.
        tolerance: How far the target is raised above the greatest norm seen, relative.

    Returns:
        The target at the end: the norms are at most that and `margin`.
    """
    single = single_pays(min(found.taps.shape[-2:]), found.taps.device)
    fruitless = 0
    for index, count in samples.centres(found.batch):
        if count > 1 and samples.level:  # a near isometry: each answers for itself
            continue
        if single and count == 1 and samples.flat:
            every = len(index)
            index = _left_by_single(found, samples, index, tau)
            fruitless = fruitless + every if len(index) == every else 0
            single = fruitless < FRUITLESS
        if not len(index):
            continue
        squares = found.squares_at(samples.angles(index), samples.groups(index))
        steps = itertools.chain([FIRST], itertools.repeat(STEPS))
        if count and samples.flat:
            counts = torch.full((len(index),), count)
            steps = itertools.chain([QUICK], steps)
        else:
            heights = top_values(squares).sqrt()
            tau = max(tau, float(heights.max()) * (1 + tolerance))
            counts = samples.widths(heights, tau)
        left, squares = _failing(samples, index, squares, tau, counts)
        tau = _raised(samples, left, squares, tau, tolerance, steps)
    return tau


def _left_by_single(found: Symbol, samples: Samples, index: Tensor, tau: float) -> Tensor:
    """Test samples by themselves in single precision, close them, and return those that failed."""
    squares = found.squares_at(samples.angles(index), samples.groups(index), single=True)
    levels = torch.full((len(index),), tau * tau, dtype=torch.float64)
    passed = definite_in_single(squares, levels)
    samples.close(index[passed], torch.ones(int(passed.sum()), dtype=torch.long))
    return index[~passed]


def _raised(
    samples: Samples,
    left: Tensor,
    squares: Tensor,
    tau: float,
    tolerance: float,
    steps: Iterator[int],
) -> float:
    """Return the target with which each of the samples left passes by itself; close them."""
    extra = tolerance
    for count in steps:
        left, squares = _failing(samples, left, squares, tau)
        if not len(left):
            break
        tau = max(tau, float(top_values(squares, count).max()) ** 0.5 * (1 + extra))
        extra *= 4 if count > QUICK else 1
    return tau


def samples_above(found: Symbol, samples: Samples, tau: float) -> Tensor:
    """Return the samples whose norm exceeds a target, about.

    Args:
        found: The symbol.
        samples: All of them open; none is afterwards.
        tau: The target.

    Returns:
        Those that do not pass, `(B, 1 + d)`; the norms of the others are at most tau and `margin`.
    """
    above = []
    for index, _ in samples.centres(found.batch):
        squares = found.squares_at(samples.angles(index), samples.groups(index))
        left = index
        if not samples.alone:
            counts = samples.widths(top_values(squares).sqrt(), tau)
            left, squares = _failing(samples, left, squares, tau, counts)
        left, _ = _failing(samples, left, squares, tau)
        samples.close(left, torch.ones(len(left), dtype=torch.long))
        above.append(left)
    return torch.cat(above)


def _failing(
    samples: Samples, index: Tensor, squares: Tensor, tau: float, counts: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Test samples, each for a ball of so many or without one for itself; close them.

    Returns:
        Those that failed, and their Gram matrices.
    """
    counts = torch.ones(len(index), dtype=torch.long) if counts is None else counts
    levels = samples.limits(counts, tau).square()
    # A sample by itself has as a rule room for the rounding of single precision, a ball none.
    cheap = (clearly_below, definite_in_single) if bool((counts == 1).all()) else (clearly_below,)
    for proves in (*cheap, partial(definite, whole=True)):
        passed = proves(squares, levels)
        if passed.any():  # otherwise nothing is copied
            samples.close(index[passed], counts[passed])
            index, squares = index[~passed], squares[~passed]
            counts, levels = counts[~passed], levels[~passed]
    return index, squares


def margin(found: Symbol, tau: float) -> float:
    """How far above the target the norm may be where all tests passed, by rounding."""
    order = min(found.taps.shape[-2:])
    # At the widest angle the error of a test at a lower target weighs 1 / cos(1.3)^2 = 14 times.
    return 16 * (norm_below(tau * tau, order, found.squares_error) - tau)
