"""The nearest point of a box at which a function is not positive, for many problems at once."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from lit_intriguing.autograd import grad_island, ordinary
from lit_intriguing.solvers.best import Best
from lit_intriguing.solvers.box import Box, Limit
from lit_intriguing.solvers.descent import Descent, Step
from lit_intriguing.solvers.evaluation import evaluate_with_margin
from lit_intriguing.solvers.pairs import Product
from lit_intriguing.solvers.running import check, run
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

    Raises:
        ValueError: If a number is not positive.
    """

    smoothing: float
    tolerance: float
    inside: float
    steps: int

    def __post_init__(self) -> None:
        for name in ("smoothing", "tolerance", "inside"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"Stage: {name} must be positive, not {getattr(self, name)}.")
        if self.steps < 1:
            raise ValueError(f"Stage: steps must be at least 1, not {self.steps}.")


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

    Raises:
        ValueError: If ``x0`` is not of shape ``(N, D)``, the box is empty or of another shape, a
            number is less than 1, there is no stage, or the constraint has no gradient.
    """
    check(x0, memory=memory, slots=slots, stages=len(stages))
    box = Box.like(x0, lower, upper)
    with grad_island():
        search = _Search(fun, ordinary(x0), box, unit, stages, memory, slots)
        run(search, on_finished)
    return search.found


@dataclass
class _Progress:
    """Where each of n slots stands; all ``(n,)``."""

    stage: Tensor
    steps: Tensor
    unit: Tensor
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
        self._stages = {
            field.name: torch.tensor([float(getattr(stage, field.name)) for stage in stages]).to(x0)
            for field in fields(Stage)
        }
        self._last = len(stages) - 1
        infinity = x0.new_full((len(x0),), torch.inf)
        none = torch.zeros(len(x0), dtype=torch.int64, device=x0.device)
        self._best = Best(x0, self.slots)
        self.found = Nearest(
            self._best.x,
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
        self._at = _Progress(zeros.long(), zeros, self._units[rows], zeros.clone())

    def step(self) -> int:
        """Take one step in each slot; returns how many problems were finished by it."""
        descent, at, rows = self._descent, self._at, self.slots.rows
        inside = self._of_stage("inside")
        smoothing = self._of_stage("smoothing") * at.unit
        trial = descent.propose(lambda product: self._multiplier(product, inside))
        found, margin = evaluate_with_margin(self._fun, trial, rows, smoothing)
        outcome = descent.judge(trial, found)
        self._best.meet(trial, outcome.square, margin)
        descent.advance(trial, found, outcome)
        at.steps += 1
        at.evaluations += 1
        settled = self._settled(outcome, inside)
        # Not finite at x0, or the gradient there is zero: no step will lead anywhere.
        hopeless = descent.fresh | outcome.still & ~self._best.found & (at.steps > 1)
        ended = (settled | hopeless | self._spent()) & self.slots.working
        if not bool(ended.any()):
            return 0
        last = (at.stage == self._last) | hopeless
        self._next_stage((ended & ~last).nonzero().squeeze(1))
        return self._finish((ended & last).nonzero().squeeze(1), settled & ~hopeless)

    def _of_stage(self, name: str) -> Tensor:
        """Return a number of the stage that each slot is in: ``(n,)``."""
        return self._stages[name][self._at.stage]

    def _multiplier(self, product: Product, inside: Tensor) -> Tensor:
        """Solve ``f + a.d = -inside |x - x0|^2 / multiplier``, ``d = -H (r + multiplier a)``."""
        descent = self._descent
        old, inner = descent.multiplier, product.inner
        aim = torch.addcdiv(descent.value, inside * descent.square, old)
        new = (aim - inner[1, 0]) / inner[1, 1] * self._urge()
        # The first one, at x0, is not held to what was before.
        first = (self._at.stage == 0) & (self._at.steps <= 1)
        change = torch.where(first, torch.inf, 4.0)
        new = torch.minimum(torch.maximum(new, old / change), old * change)
        return torch.where(new.isfinite() & (inner[1, 1] > 0), new, old)

    def _urge(self) -> Tensor:
        """Return a factor that grows where a stage has used its steps twice in vain: ``(n,)``.

        At a kink of the constraint the linear model promises what does not come, and only a larger
        multiplier moves the minimiser into the feasible set.
        """
        late = (self._at.steps - 2 * self._of_stage("steps")).clamp(min=0)
        return torch.where(self._best.found, 1.0, torch.exp2(late / _PATIENCE))

    def _settled(self, outcome: Step, inside: Tensor) -> Tensor:
        """Return which slots are at the minimiser of their stage: bool ``(n,)``."""
        descent = self._descent
        off = (descent.multiplier * descent.value + inside * descent.square).abs() - outcome.slope
        near = off <= self._of_stage("tolerance") * descent.square
        return outcome.accepted & outcome.full & near

    def _spent(self) -> Tensor:
        """Return which slots have used up the steps of their stage: bool ``(n,)``."""
        limit = self._of_stage("steps")
        return self._at.steps >= torch.where(self._best.found, limit, 8 * limit)

    def _next_stage(self, slots: Tensor) -> None:
        at = self._at
        at.stage[slots] += 1
        at.steps[slots] = 0.0
        self._descent.length[slots] = 1.0

    def _finish(self, slots: Tensor, settled: Tensor) -> int:
        """Write the results of some slots down and give them new problems, a few at a time."""
        at, descent = self._at, self._descent
        rows = self.slots.rows[slots]
        self.found.square[rows] = self._best.square[slots]
        self.found.margin[rows] = self._best.margin[slots]
        self.found.feasible[rows] = self._best.found[slots]
        self.found.multiplier[rows] = descent.multiplier[slots]
        self.found.evaluations[rows] = at.evaluations[slots].long()
        self.found.settled[rows] = settled[slots]
        filled = self.slots.finish(slots)
        if len(filled):
            rows = self.slots.rows[filled]
            descent.load(filled, self._x0[rows])
            at.stage[filled], at.steps[filled], at.unit[filled] = 0, 0.0, self._units[rows]
            at.evaluations[filled] = 0.0
            self._best.forget(filled)
        keep = self.slots.worth_keeping()
        if keep is not None:
            for part in (self.slots, descent, self._best):
                part.keep(keep)
            for field in fields(_Progress):
                setattr(at, field.name, getattr(at, field.name)[keep])
        return len(slots)
