"""Each problem's own search for the largest weight of the distance that still succeeds."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lit_intriguing.autograd import grad_island, ordinary
from lit_intriguing.solvers.anchored_descent import AnchoredDescent, AnchoredStep
from lit_intriguing.solvers.batch_state import NearestSuccess, SlotTable
from lit_intriguing.solvers.box import Box, Limit
from lit_intriguing.solvers.evaluation import evaluate_with_margin, squared_lengths
from lit_intriguing.solvers.lbfgs_memory import Product
from lit_intriguing.solvers.search import Part, Search, check, run
from lit_intriguing.solvers.solution import NearestSolution, success_status

Loss = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Maps points `(n, D)` and their problems `(n,)` to two tensors `(n,)`.

The first, differentiable, is the loss; the second is negative where the point is a success.
"""

_BRACKET = 4.0
"""Factor between weights while no success, or no failure, is known."""

_SOLVES, _FRUITLESS = 40, 12
"""Minimisations after which a problem's search ends anyway, and without any success."""

_LEAST_SCALE = 0.1
"""Of the inverse Hessian: at a weight that stays, a smaller one only makes many small steps."""


@dataclass(frozen=True)
class Tolerances:
    """When to stop.

    Args:
        c: Ratio of the least failing to the largest succeeding c, less 1.
        distance: Difference of their distances `|r|`, relative.
        slope: A minimisation ends where the step foretells a decrease of less than this times
            `|r|^2`, in units of `|r|^2 / 2`.
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


@dataclass(frozen=True, repr=False)
class Penalised(NearestSolution):
    """The nearest successful points of N problems.

    Attributes:
        c: The largest weight of the distance whose minimiser succeeds, NaN without; `(N,)`.
    """

    c: Tensor


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

    Szegedy et al. 2013, section 4.1: minimise `c |r| + loss(x0 + r)` in the box, and search
    along c for the boundary of success. As c weighs the distance, the smallest r belongs to the
    largest c that succeeds. First c changes by factors of 4 until one success and one failure are
    known, then it is interpolated by regula falsi on (log c, margin) with the Illinois weights
    (Dowell and Jarratt 1971). Each minimisation goes on from where the last one ended.

    Args:
        fun: Loss and margin of success.
        x0: Points to stay near to, in the box, `(N, D)`.
        lower: Lower limit: a number or `(D,)`; may be infinite.
        upper: Upper limit, likewise.
        squared: Whether to weigh `|r|^2`, which has the same stationary points, is smooth at 0
            and jumps less between local minima; else `|r|` itself, whose minimiser is x0 until
            c falls below the gradient's length.
        tolerances: When to stop.
        memory: Pairs of the L-BFGS matrix.
        slots: Problems worked on at a time.
        on_finished: Called with the number of problems that have just been finished.

    Returns:
        The solutions, c in the units of `c |r|` in both cases: the weight of `|r|^2` times
        `2 |r|`. Problems do not depend on each other. The nearest success met on the way is
        returned, which may be nearer than the minimiser that c belongs to.

    Raises:
        ValueError: If `x0` is not of shape `(N, D)`, the box is empty or of another shape, a
            number is less than 1, or the loss has no gradient.
    """
    check(x0, memory=memory, slots=slots)
    box = Box.like(x0, lower, upper)
    with grad_island():
        search = _Search(fun, ordinary(x0), box, squared, tolerances or Tolerances(), memory, slots)
        run(search, on_finished)
    return search.found


class _End(SlotTable):
    """One end of each slot's bracket: the last minimiser that failed, or that succeeded.

    `weight`: 1 / c, 0 or infinite while there is none. `margin`: of success, weighed down by
    the Illinois rule. `distance`: `|r|`.
    """

    def __init__(self, slots: int, like: Tensor, *, weight: float) -> None:
        super().__init__(slots, like, weight=weight, margin=0, distance=0)

    def write(self, slots: Tensor, weight: Tensor, margin: Tensor, distance: Tensor) -> None:
        """Overwrite some slots (an index)."""
        for name, values in (("weight", weight), ("margin", margin), ("distance", distance)):
            self[name][slots] = values

    def of(self, slots: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return weight, margin and distance of some slots (an index), copied."""
        return self["weight"][slots], self["margin"][slots], self["distance"][slots]


class _Search(Search):
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
        super().__init__(x0, slots)
        self._fun, self._squared, self._tolerances = fun, squared, tolerances
        nan = x0.new_full((len(x0),), torch.nan)
        none = torch.zeros(len(x0), dtype=torch.int64, device=x0.device)
        self._best = NearestSuccess(x0, self.slots)
        self.found = Penalised(
            self._best.x, x0.new_full((len(x0),), torch.inf), none, none.to(torch.int8), nan
        )
        count = len(self.slots.problems)
        self._descent = AnchoredDescent(
            x0[self.slots.problems], box, memory=memory, least_scale=_LEAST_SCALE
        )
        # Of the current minimisation: 1 / c, steps so far, margin of success at the point. Of the
        # search: minimisations, gradients, the first multiplier, which end was moved last.
        self._at = SlotTable(
            count, x0, weight=0, steps=0, margin=0, solves=0, evaluations=0, first=0, last=0
        )
        self._fail = _End(count, x0, weight=0.0)
        self._succeed = _End(count, x0, weight=math.inf)

    @property
    def parts(self) -> Sequence[Part]:
        """Points and memory, the best so far, numbers, both ends of the bracket."""
        return self._descent, self._best, self._at, self._fail, self._succeed

    def step(self) -> int:
        """Take one step in each slot; return how many problems were finished by it."""
        descent, at, working = self._descent, self._at, self.slots.working
        new = descent.fresh
        trial = descent.propose(None if self._squared else self._reweigh)
        found, margin = evaluate_with_margin(self._fun, trial, self.slots.problems)
        outcome = descent.test(trial, found)
        self._best.update(trial, outcome.square, margin)
        descent.advance(trial, found, outcome)
        at["margin"].copy_(torch.where(outcome.accepted, margin, at["margin"]))
        at["steps"].add_(1)
        at["evaluations"].add_(1)
        dead = descent.fresh | (self._gradient_square() == 0) & (at["margin"] >= 0)
        begins = new & (at["solves"] == 0)
        self._begin((begins & ~dead & working).nonzero().squeeze(1))
        ended = self._ended(outcome, new) & ~dead & working
        finished = dead & working
        if bool(ended.any()):
            finished = finished | self._next_weight(ended.nonzero().squeeze(1))
        return self.finish(finished.nonzero().squeeze(1))

    def _reweigh(self, product: Product) -> Tensor:
        """Return the multiplier at which `|r|^2 / 2` weighs as much as `c |r|`."""
        descent, weight = self._descent, self._at["weight"]
        return torch.where(descent.square > 0, weight * descent.square.sqrt(), descent.multiplier)

    def _gradient_square(self) -> Tensor:
        return squared_lengths(self._descent.pairs.a)

    def _begin(self, slots: Tensor) -> None:
        """Set the first weights, from the loss and its gradient at x0."""
        if not len(slots):
            return
        descent, at = self._descent, self._at
        multiplier = (descent.value / self._gradient_square())[slots]
        descent.multiplier[slots] = multiplier
        # |r| = multiplier |a| after a step of steepest descent.
        length = self._gradient_square()[slots].rsqrt()
        at["weight"][slots] = 2 * multiplier if self._squared else length
        at["first"][slots] = multiplier
        zeros = torch.zeros_like(multiplier)
        self._fail.write(slots, zeros, at["margin"][slots], zeros)
        at["steps"][slots] = 0.0

    def _ended(self, outcome: AnchoredStep, new: Tensor) -> Tensor:
        """Return which slots are at their minimiser: bool `(n,)`."""
        limit, square = self._tolerances, self._descent.square
        # A small scale foretells little of what there is to gain.
        settled = -outcome.slope <= limit.slope * square * outcome.scale
        vanished = square <= 1e-8 * self._best.square.where(self._best.found, 0.0)
        ended = outcome.accepted & (outcome.full & settled | vanished | outcome.idle)
        return (ended | (self._at["steps"] >= limit.steps)) & ~new

    def _next_weight(self, slots: Tensor) -> Tensor:
        """Move the bracket of slots at their minimiser; return which are done, bool `(n,)`."""
        success = self._at["margin"][slots] < 0
        self._move(self._succeed, self._fail, slots[success], 1.0)
        self._move(self._fail, self._succeed, slots[~success], -1.0)
        self._at["solves"][slots] += 1
        done = self._done(slots)
        self._start_again(slots[~done])
        finished = torch.zeros_like(self.slots.working)
        finished[slots[done]] = True
        return finished

    def _move(self, end: _End, other: _End, slots: Tensor, side: float) -> None:
        """Move one end to where some slots are; the other counts half if it stays once more."""
        if not len(slots):
            return
        at, distance = self._at, self._descent.square[slots].sqrt()
        end.write(slots, at["weight"][slots], at["margin"][slots], distance)
        other["margin"][slots[at["last"][slots] == side]] *= 0.5
        at["last"][slots] = side

    def _done(self, slots: Tensor) -> Tensor:
        limit, solves = self._tolerances, self._at["solves"][slots]
        (low, _, before), (high, _, beyond) = self._fail.of(slots), self._succeed.of(slots)
        near = (beyond - before).abs() <= limit.distance * beyond
        both = high.isfinite() & (low > 0)
        spent = solves >= torch.where(high.isfinite(), _SOLVES, _FRUITLESS)
        return both & ((high / low <= 1 + limit.c) | near) | spent

    def _start_again(self, slots: Tensor) -> None:
        """Choose the next weights; each minimisation goes on from where the last one ended.

        Not so from a failure with `|r|`, whose minimiser may be x0 itself, where the penalty has
        a kink: from the nearest success, which costs one more gradient.
        """
        if not len(slots):
            return
        at, descent = self._at, self._descent
        weight = self._between(slots)
        at["weight"][slots], at["steps"][slots] = weight, 0.0
        (_, _, before), (high, _, beyond) = self._fail.of(slots), self._succeed.of(slots)
        distance = torch.where(high.isfinite(), beyond, before)
        multiplier = weight / 2 if self._squared else weight * distance
        descent.multiplier[slots] = multiplier.where(multiplier > 0, at["first"][slots])
        descent.length[slots] = 1.0
        if not self._squared:
            back = slots[high.isfinite() & (at["margin"][slots] >= 0)]
            descent.restart(back, self._best.x[self.slots.problems[back]])

    def _between(self, slots: Tensor) -> Tensor:
        """Return the weights to try: by factors of 4, or by regula falsi."""
        (low, failing, _), (high, succeeding, _) = self._fail.of(slots), self._succeed.of(slots)
        share = failing / (failing - succeeding)
        # Kept away from the ends, so that each try takes at least a tenth of the bracket away.
        share = share.nan_to_num(0.5).clamp(0.1, 0.9)
        inside = torch.lerp(low.log(), high.log(), share).exp()
        inside = torch.where(low > 0, inside, high / _BRACKET)
        return torch.where(high.isfinite(), inside, low * _BRACKET)

    def write(self, slots: Tensor, problems: Tensor) -> None:
        """Write the results of some slots down."""
        weight, _, distance = self._succeed.of(slots)
        settled = weight.isfinite()
        c = 1 / weight * (2 * distance if self._squared else 1.0)
        self.found.value[problems] = self._best.square[slots]
        self.found.c[problems] = torch.where(settled, c, torch.nan)
        self.found.evaluations[problems] = self._at["evaluations"][slots].long()
        settled &= self._at["solves"][slots] < _SOLVES
        self.found.status[problems] = success_status(
            self._best.found[slots], settled, self._descent.fresh[slots]
        )

    def load(self, slots: Tensor, problems: Tensor) -> None:
        """Start new problems in some slots."""
        self._descent.load(slots, self._x0[problems])
        for part in (self._best, self._at, self._fail, self._succeed):
            part.load(slots)
