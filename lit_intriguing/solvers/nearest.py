"""The nearest point of a box at which a function is not positive, for many problems at once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from lit_intriguing.solvers.box import Box, Limit
from lit_intriguing.solvers.descent import Descent, Step
from lit_intriguing.solvers.evaluation import Evaluation, differentiate
from lit_intriguing.solvers.pairs import Product
from lit_intriguing.solvers.slots import Slots

Constraint = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
"""Maps points ``(n, D)``, rows ``(n,)`` and smoothing ``(n,)`` to two tensors ``(n,)``.

The first, differentiable, is the constraint made smooth: the more, the larger the smoothing. The
second is the constraint itself; a point is feasible where it is negative.
"""


_PATIENCE = 8.0
"""The multiplier doubles in so many steps where a stage has long found no feasible point."""


@dataclass(frozen=True)
class Stage:
    """One stage of the continuation.

    Args:
        smoothing: Of the constraint, in the problem's unit.
        tolerance: The stage ends where the step foretells a change of less than this times
            ``|x - x0|^2``, in the objective and in the constraint.
        inside: How far inside the feasible set the step aims: this times ``|x - x0|^2`` over the
            multiplier.
        steps: Steps after which the stage ends, once a feasible point is known; eight times as
            many end it anyway.
    """

    smoothing: float
    tolerance: float
    inside: float
    steps: int


@dataclass(frozen=True)
class Nearest:
    """Solutions of N problems.

    Attributes:
        x: The nearest feasible point that was met, x0 where there was none; ``(N, D)``.
        feasible: Whether there was one, bool ``(N,)``.
        square: ``|x - x0|^2``, infinite where none was met; ``(N,)``.
        margin: The constraint itself at x, ``(N,)``.
        multiplier: Weight of the constraint at the end, ``(N,)``.
        evaluations: Gradients spent, int64 ``(N,)``.
        settled: Whether the last stage ended by its tolerance, bool ``(N,)``.
    """

    x: Tensor
    feasible: Tensor
    square: Tensor
    margin: Tensor
    multiplier: Tensor
    evaluations: Tensor
    settled: Tensor


def nearest_point(
    fun: Constraint,
    x0: Tensor,
    lower: Limit,
    upper: Limit,
    *,
    unit: Tensor,
    stages: Sequence[Stage],
    memory: int = 5,
    slots: int = 256,
    on_finished: Callable[[int], None] | None = None,
) -> Nearest:
    """Find for each row the nearest point of the box at which the constraint is negative.

    Descends on ``1/2 |x - x0|^2 + multiplier * constraint`` with the multiplier chosen in each
    step so that the step's linear model ends on the boundary: sequential quadratic programming
    with one constraint and an L-BFGS matrix, on a constraint that is smooth at first and sharper
    from stage to stage.

    Args:
        fun: The constraint.
        x0: Points to stay near to, in the box, ``(N, D)``.
        lower: Lower limit: a number or ``(D,)``; may be infinite.
        upper: Upper limit, likewise.
        unit: Of the smoothing, positive, ``(N,)``: usually the constraint at x0.
        stages: The continuation.
        memory: Pairs of the L-BFGS matrix.
        slots: Problems worked on at a time.
        on_finished: Told how many problems have just been finished.

    Returns:
        The solutions. Rows do not depend on each other.
    """
    search = _Search(fun, x0, Box.like(x0, lower, upper), unit, stages, memory, slots)
    while search.slots:
        finished = search.step()
        if on_finished is not None and finished:
            on_finished(finished)
    return search.found


@dataclass
class _Progress:
    """Where each of n slots stands; all ``(n,)``."""

    stage: Tensor
    steps: Tensor
    unit: Tensor
    best: Tensor
    margin: Tensor
    evaluations: Tensor


class _Search:
    def __init__(
        self,
        fun: Constraint,
        x0: Tensor,
        box: Box,
        unit: Tensor,
        stages: Sequence[Stage],
        memory: int,
        slots: int,
    ) -> None:
        self._fun, self._x0, self._units = fun, x0, unit
        self.slots = Slots(len(x0), slots, x0.device)
        self._stages = [
            torch.tensor([float(getattr(stage, field.name)) for stage in stages]).to(x0)
            for field in fields(Stage)
        ]
        self._last = len(stages) - 1
        infinity = x0.new_full((len(x0),), torch.inf)
        none = torch.zeros(len(x0), dtype=torch.int64, device=x0.device)
        self.found = Nearest(
            x0.clone(),
            none.bool(),
            infinity,
            infinity.clone(),
            infinity.clone(),
            none,
            none.bool(),
        )
        rows = self.slots.rows
        self._descent = Descent(x0[rows], box, memory=memory, anchored=True)
        zeros = torch.zeros_like(self._units[rows])
        self._at = _Progress(
            zeros.long(), zeros, self._units[rows], infinity[rows], zeros.clone(), zeros.clone()
        )

    def step(self) -> int:
        """Take one step in each slot; returns how many problems were finished by it."""
        descent, at, rows = self._descent, self._at, self.slots.rows
        inside = self._stages[2][at.stage]
        trial = descent.propose(lambda product: self._multiplier(product, inside))
        found, margin = self._evaluate(trial, rows, self._stages[0][at.stage] * at.unit)
        outcome = descent.judge(trial, found)
        self._keep_best(trial, outcome.square, margin)
        descent.advance(trial, found, outcome)
        at.steps += 1
        at.evaluations += 1
        settled = self._settled(outcome, inside)
        # Not finite at x0, or the gradient there is zero: no step will lead anywhere.
        hopeless = descent.fresh | outcome.still & ~at.best.isfinite() & (at.steps > 1)
        ended = (settled | hopeless | self._spent()) & self.slots.working
        if not bool(ended.any()):
            return 0
        last = (at.stage == self._last) | hopeless
        self._next_stage((ended & ~last).nonzero().squeeze(1))
        return self._finish((ended & last).nonzero().squeeze(1), settled & ~hopeless)

    def _multiplier(self, product: Product, inside: Tensor) -> Tensor:
        """Solve ``f + a.d = -inside |x - x0|^2 / multiplier``, ``d = -H (r + multiplier a)``."""
        descent = self._descent
        old, inner = descent.multiplier, product.inner
        aim = torch.addcdiv(descent.value, inside * descent.square, old)
        new = (aim - inner[1, 0]) / inner[1, 1] * self._urge()
        # The first one, at x0, is not held to what was before.
        change = torch.where(self._at.steps + self._at.stage > 1, 4.0, torch.inf)
        new = torch.minimum(torch.maximum(new, old / change), old * change)
        return torch.where(new.isfinite() & (inner[1, 1] > 0), new, old)

    def _urge(self) -> Tensor:
        """Return a factor that grows where a stage has used its steps twice in vain: ``(n,)``.

        At a kink of the constraint the linear model promises what does not come, and only a larger
        multiplier moves the minimiser into the feasible set.
        """
        late = (self._at.steps - 2 * self._stages[3][self._at.stage]).clamp(min=0)
        return torch.where(self._at.best.isfinite(), 1.0, torch.exp2(late / _PATIENCE))

    def _evaluate(self, x: Tensor, rows: Tensor, smoothing: Tensor) -> tuple[Evaluation, Tensor]:
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            values, margin = self._fun(x, rows, smoothing)
            gradient = differentiate(values, x)
        return Evaluation(values.detach(), gradient), margin.detach()

    def _keep_best(self, trial: Tensor, square: Tensor, margin: Tensor) -> None:
        better = (margin < 0) & (square < self._at.best) & self.slots.working
        slots = better.nonzero().squeeze(1)
        if len(slots):
            self.found.x[self.slots.rows[slots]] = trial[slots]
            self._at.best = torch.where(better, square, self._at.best)
            self._at.margin = torch.where(better, margin, self._at.margin)

    def _settled(self, outcome: Step, inside: Tensor) -> Tensor:
        """Return which slots are at the minimiser of their stage: bool ``(n,)``."""
        descent = self._descent
        off = (descent.multiplier * descent.value + inside * descent.square).abs() - outcome.slope
        near = off <= self._stages[1][self._at.stage] * descent.square
        return outcome.accepted & outcome.full & near

    def _spent(self) -> Tensor:
        """Return which slots have used up the steps of their stage: bool ``(n,)``."""
        limit = self._stages[3][self._at.stage]
        return self._at.steps >= torch.where(self._at.best.isfinite(), limit, 8 * limit)

    def _next_stage(self, slots: Tensor) -> None:
        at = self._at
        at.stage[slots] += 1
        at.steps[slots] = 0.0
        self._descent.length[slots] = 1.0

    def _finish(self, slots: Tensor, settled: Tensor) -> int:
        """Write the results of some slots down and give them new problems, a few at a time."""
        at, descent = self._at, self._descent
        rows = self.slots.rows[slots]
        self.found.square[rows] = at.best[slots]
        self.found.margin[rows] = at.margin[slots]
        self.found.feasible[rows] = at.best[slots].isfinite()
        self.found.multiplier[rows] = descent.multiplier[slots]
        self.found.evaluations[rows] = at.evaluations[slots].long()
        self.found.settled[rows] = settled[slots]
        filled = self.slots.finish(slots)
        if len(filled):
            rows = self.slots.rows[filled]
            descent.load(filled, self._x0[rows])
            at.stage[filled], at.steps[filled], at.unit[filled] = 0, 0.0, self._units[rows]
            at.best[filled], at.evaluations[filled] = torch.inf, 0.0
        keep = self.slots.worth_keeping()
        if keep is not None:
            for part in (self.slots, descent):
                part.keep(keep)
            for field in fields(_Progress):
                setattr(at, field.name, getattr(at, field.name)[keep])
        return len(slots)
