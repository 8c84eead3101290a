"""Each problem's own search for the largest weight of the distance that still succeeds."""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from lit_intriguing.autograd import grad_island, ordinary
from lit_intriguing.solvers.best import Best
from lit_intriguing.solvers.box import Box, Limit
from lit_intriguing.solvers.descent import Descent, Step
from lit_intriguing.solvers.evaluation import evaluate_with_margin, squared_lengths
from lit_intriguing.solvers.pairs import Product
from lit_intriguing.solvers.running import check, run
from lit_intriguing.solvers.slots import Slots

Loss = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Maps points ``(n, D)`` and rows ``(n,)`` to two tensors ``(n,)``.

The first, differentiable, is the loss; the second is negative where the point is a success.
"""

_PER_SLOT = ("_first", "_weight", "_steps", "_solves", "_evaluations", "_margin", "_last")
"""Tensors of a search with one number for each slot."""

_BRACKET = 4.0
"""Factor between weights while no success, or no failure, is known."""

_SOLVES, _FRUITLESS = 40, 12
"""Minimisations after which a row's search ends anyway, and without any success."""


@dataclass(frozen=True)
class Tolerances:
    """When to stop.

    Args:
        c: Ratio of the least failing to the largest succeeding c, less 1.
        distance: Difference of their distances ``|r|``, relative.
        slope: A minimisation ends where the step foretells a decrease of less than this times
            ``|r|^2``, in units of ``|r|^2 / 2``.
        steps: Steps after which a minimisation ends anyway.

    Raises:
        ValueError: If a number is not positive.
    """

    c: float = 1e-2
    distance: float = 1e-3
    slope: float = 1e-2
    steps: int = 30

    def __post_init__(self) -> None:
        for name in ("c", "distance", "slope"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"Tolerances: {name} must be positive, not {getattr(self, name)}.")
        if self.steps < 1:
            raise ValueError(f"Tolerances: steps must be at least 1, not {self.steps}.")


@dataclass(frozen=True)
class Penalised:
    """Solutions of N problems.

    Attributes:
        x: The nearest successful point that was met, x0 where there was none; ``(N, D)``.
        success: Whether there was one, bool ``(N,)``.
        c: The largest weight of the distance whose minimiser succeeds, NaN without; ``(N,)``.
        evaluations: Gradients spent, int64 ``(N,)``.
        settled: Whether the search ended by its tolerances, bool ``(N,)``.
    """

    x: Tensor
    success: Tensor
    c: Tensor
    evaluations: Tensor
    settled: Tensor


def largest_penalty(
    fun: Loss,
    x0: Tensor,
    lower: Limit,
    upper: Limit,
    *,
    squared: bool = True,
    tolerances: Tolerances | None = None,
    memory: int = 5,
    slots: int = 256,
    on_finished: Callable[[int], None] | None = None,
) -> Penalised:
    """Search along c for the largest at which the minimiser still succeeds.

    Szegedy et al. 2013, section 4.1: minimise ``c |r| + loss(x0 + r)`` in the box, and search
    along c for the boundary of success. As c weighs the distance, the smallest r belongs to the
    largest c that succeeds. First c changes by factors of 4 until one success and one failure are
    known, then it is interpolated by regula falsi on (log c, margin) with the Illinois weights
    (Dowell and Jarratt 1971). Each minimisation goes on from where the last one ended.

    Args:
        fun: Loss and margin of success.
        x0: Points to stay near to, in the box, ``(N, D)``.
        lower: Lower limit: a number or ``(D,)``; may be infinite.
        upper: Upper limit, likewise.
        squared: Whether to weigh ``|r|^2``, which has the same stationary points, is smooth at 0
            and jumps less between local minima; else ``|r|`` itself, whose minimiser is x0 until
            c falls below the gradient's length.
        tolerances: When to stop.
        memory: Pairs of the L-BFGS matrix.
        slots: Problems worked on at a time.
        on_finished: Told how many problems have just been finished.

    Returns:
        The solutions, c in the units of ``c |r|`` in both cases: the weight of ``|r|^2`` times
        ``2 |r|``. Rows do not depend on each other. The nearest success met on the way is
        returned, which may be nearer than the minimiser that c belongs to.

    Raises:
        ValueError: If ``x0`` is not of shape ``(N, D)``, the box is empty or of another shape, a
            number is less than 1, or the loss has no gradient.
    """
    check(x0, memory=memory, slots=slots)
    box = Box.like(x0, lower, upper)
    with grad_island():
        search = _Search(fun, ordinary(x0), box, squared, tolerances or Tolerances(), memory, slots)
        run(search, on_finished)
    return search.found


@dataclass
class _End:
    """One end of each slot's bracket: the last minimiser that failed, or that succeeded.

    Attributes:
        weight: 1 / c, ``(n,)``; 0 or infinite while there is none.
        margin: Of success, ``(n,)``; weighed down by the Illinois rule.
        distance: ``|r|``, ``(n,)``.
    """

    weight: Tensor
    margin: Tensor
    distance: Tensor

    def write(self, slots: Tensor, values: "_End") -> None:
        """Overwrite some slots (an index) by all of ``values``."""
        for field in fields(self):
            getattr(self, field.name)[slots] = getattr(values, field.name)

    def of(self, slots: Tensor) -> "_End":
        """Return some slots (an index), copied."""
        return _End(*(getattr(self, field.name)[slots] for field in fields(self)))


class _Search:
    def __init__(
        self,
        fun: Loss,
        x0: Tensor,
        box: Box,
        squared: bool,
        tolerances: Tolerances,
        memory: int,
        slots: int,
    ) -> None:
        self._fun, self._x0, self._squared, self._tolerances = fun, x0, squared, tolerances
        self.slots = Slots(len(x0), slots, x0.device)
        nan = x0.new_full((len(x0),), torch.nan)
        none = torch.zeros(len(x0), dtype=torch.int64, device=x0.device)
        self._best = Best(x0, self.slots)
        self.found = Penalised(self._best.x, none.bool(), nan, none, none.bool())
        first = x0[self.slots.rows]
        self._descent = Descent(first, box, memory=memory, anchored=True)
        zeros = torch.zeros_like(first[:, 0])
        self._weight, self._steps, self._solves = zeros.clone(), zeros.clone(), zeros.clone()
        self._evaluations, self._margin = zeros.clone(), zeros.clone()
        self._first = zeros.clone()
        self._last = zeros.clone()
        self._fail = _End(zeros.clone(), zeros.clone(), zeros.clone())
        self._succeed = _End(zeros + torch.inf, zeros.clone(), zeros.clone())

    def step(self) -> int:
        """Take one step in each slot; returns how many problems were finished by it."""
        descent, rows = self._descent, self.slots.rows
        new = descent.fresh.clone()
        trial = descent.propose(None if self._squared else self._reweigh)
        found, margin = evaluate_with_margin(self._fun, trial, rows)
        outcome = descent.judge(trial, found)
        self._best.meet(trial, outcome.square, margin)
        descent.advance(trial, found, outcome)
        self._margin = torch.where(outcome.accepted, margin, self._margin)
        self._steps += 1
        self._evaluations += 1
        dead = descent.fresh | (self._gradient_square() == 0) & (self._margin >= 0)
        begins = new & (self._solves == 0)
        self._begin((begins & ~dead & self.slots.working).nonzero().squeeze(1))
        ended = self._ended(outcome, new) & ~dead & self.slots.working
        finished = dead & self.slots.working
        if bool(ended.any()):
            finished = finished | self._next_weight(ended.nonzero().squeeze(1))
        return self._finish(finished.nonzero().squeeze(1)) if bool(finished.any()) else 0

    def _reweigh(self, product: Product) -> Tensor:
        """Return the multiplier at which ``|r|^2 / 2`` weighs as much as ``c |r|``."""
        descent = self._descent
        return torch.where(
            descent.square > 0, self._weight * descent.square.sqrt(), descent.multiplier
        )

    def _gradient_square(self) -> Tensor:
        return squared_lengths(self._descent.pairs.a)

    def _begin(self, slots: Tensor) -> None:
        """Set the first weights, from the loss and its gradient at x0."""
        if not len(slots):
            return
        descent = self._descent
        multiplier = (descent.value / self._gradient_square())[slots]
        descent.multiplier[slots] = multiplier
        # |r| = multiplier |a| after a step of steepest descent.
        length = self._gradient_square()[slots].rsqrt()
        self._weight[slots] = 2 * multiplier if self._squared else length
        self._first[slots] = multiplier
        zeros = torch.zeros_like(multiplier)
        self._fail.write(slots, _End(zeros, self._margin[slots], zeros))
        self._steps[slots] = 0.0

    def _ended(self, outcome: Step, new: Tensor) -> Tensor:
        """Return which slots are at their minimiser: bool ``(n,)``."""
        limit, square = self._tolerances, self._descent.square
        settled = -outcome.slope <= limit.slope * square
        vanished = square <= 1e-8 * self._best.square.where(self._best.found, 0.0)
        ended = outcome.accepted & (outcome.full & settled | vanished | outcome.idle)
        return (ended | (self._steps >= limit.steps)) & ~new

    def _next_weight(self, slots: Tensor) -> Tensor:
        """Move the bracket of slots at their minimiser; returns which are done, bool ``(n,)``."""
        descent = self._descent
        here = _End(self._weight[slots], self._margin[slots], descent.square[slots].sqrt())
        success = here.margin < 0
        self._replace(self._succeed, self._fail, slots, here, success, 1.0)
        self._replace(self._fail, self._succeed, slots, here, ~success, -1.0)
        self._solves[slots] += 1
        done = self._done(slots)
        self._start_again(slots[~done])
        finished = torch.zeros_like(self.slots.working)
        finished[slots[done]] = True
        return finished

    def _replace(
        self, end: _End, other: _End, slots: Tensor, here: _End, chosen: Tensor, side: float
    ) -> None:
        """Make ``here`` one end where chosen; the other counts half if it stays a second time."""
        index = chosen.nonzero().squeeze(1)
        if not len(index):
            return
        moved = slots[index]
        end.write(moved, here.of(index))
        again = moved[self._last[moved] == side]
        other.margin[again] *= 0.5
        self._last[moved] = side

    def _done(self, slots: Tensor) -> Tensor:
        limit = self._tolerances
        fail, succeed = self._fail, self._succeed
        ratio = succeed.weight[slots] / fail.weight[slots]
        gap = (succeed.distance[slots] - fail.distance[slots]).abs()
        near = gap <= limit.distance * succeed.distance[slots]
        both = succeed.weight[slots].isfinite() & (fail.weight[slots] > 0)
        solves = self._solves[slots]
        spent = solves >= torch.where(succeed.weight[slots].isfinite(), _SOLVES, _FRUITLESS)
        return both & ((ratio <= 1 + limit.c) | near) | spent

    def _start_again(self, slots: Tensor) -> None:
        """Choose the next weights; each minimisation goes on from where the last one ended.

        Not so from a failure with ``|r|``, whose minimiser may be x0 itself, where the penalty has
        a kink: from the nearest success, which costs one more gradient.
        """
        if not len(slots):
            return
        fail, succeed = self._fail.of(slots), self._succeed.of(slots)
        weight = self._between(fail, succeed)
        self._weight[slots], self._steps[slots] = weight, 0.0
        distance = torch.where(succeed.weight.isfinite(), succeed.distance, fail.distance)
        multiplier = weight / 2 if self._squared else weight * distance
        self._descent.multiplier[slots] = multiplier.where(multiplier > 0, self._first[slots])
        self._descent.length[slots] = 1.0
        if not self._squared:
            back = slots[succeed.weight.isfinite() & (self._margin[slots] >= 0)]
            self._descent.restart(back, self._best.x[self.slots.rows[back]])

    def _between(self, fail: _End, succeed: _End) -> Tensor:
        """Return the weights to try: by factors of 4, or by regula falsi."""
        upward = fail.weight * _BRACKET
        downward = succeed.weight / _BRACKET
        low, high = fail.weight.log(), succeed.weight.log()
        share = fail.margin / (fail.margin - succeed.margin)
        # Kept away from the ends, so that each try takes at least a tenth of the bracket away.
        inside = (low + (high - low) * share.nan_to_num(0.5).clamp(0.1, 0.9)).exp()
        inside = torch.where(fail.weight > 0, inside, downward)
        return torch.where(succeed.weight.isfinite(), inside, upward)

    def _finish(self, slots: Tensor) -> int:
        """Write the results of some slots down and give them new problems."""
        rows = self.slots.rows[slots]
        succeed = self._succeed.of(slots)
        self.found.success[rows] = self._best.found[slots]
        c = 1 / succeed.weight * (2 * succeed.distance if self._squared else 1.0)
        self.found.c[rows] = torch.where(succeed.weight.isfinite(), c, torch.nan)
        self.found.evaluations[rows] = self._evaluations[slots].long()
        self.found.settled[rows] = succeed.weight.isfinite() & (self._solves[slots] < _SOLVES)
        filled = self.slots.finish(slots)
        if len(filled):
            self._descent.load(filled, self._x0[self.slots.rows[filled]])
            for name in _PER_SLOT:
                getattr(self, name)[filled] = 0.0
            self._best.forget(filled)
            self._fail.weight[filled], self._succeed.weight[filled] = 0.0, torch.inf
        keep = self.slots.worth_keeping()
        if keep is not None:
            for part in (self.slots, self._descent, self._best):
                part.keep(keep)
            for name in _PER_SLOT:
                setattr(self, name, getattr(self, name)[keep])
            self._fail, self._succeed = self._fail.of(keep), self._succeed.of(keep)
        return len(slots)
