"""The nearest point of a box at which a function is not positive, for many problems at once."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from lit_intriguing.autograd import grad_island, ordinary
from lit_intriguing.solvers.anchored_descent import AnchoredDescent, AnchoredStep
from lit_intriguing.solvers.batch_state import NearestSuccess, SlotTable
from lit_intriguing.solvers.box import Box, Limit
from lit_intriguing.solvers.evaluation import evaluate_with_margin
from lit_intriguing.solvers.lbfgs_memory import Product
from lit_intriguing.solvers.search import Part, Search, check, run
from lit_intriguing.solvers.solution import NearestSolution, success_status

Constraint = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
"""Maps points `(n, D)`, their problems `(n,)` and smoothing `(n,)` to two tensors `(n,)`.

The first, differentiable, is the constraint made smooth: the more, the larger the smoothing. The
second is the constraint itself; a point is feasible where it is negative.
"""

_CHANGE = 4.0
"""A step changes the multiplier by at most this factor."""

_PATIENCE = 8.0
"""The multiplier doubles in so many steps where a stage has long found no feasible point."""

_LEAST_SCALE = 3e-3
"""Of the inverse Hessian. Each step is aimed at the constraint anew, however small the scale."""

_FARTHER, _SETTLING = 1.3, 6
"""A problem is given up at this ratio of squared distances, once it has had so many steps."""


_AHEAD = 0.998
"""Of a rival's squared distance: what is nearer by less has met the same minimum."""


@dataclass(frozen=True)
class Stage:
    """One stage of the continuation.

    Args:
        smoothing: Of the constraint, in the problem's unit.
        tolerance: The stage ends where the step foretells a change of less than this times
            `|x - x0|^2`, in the objective and in the constraint.
        inside: How far inside the feasible set the step aims: this times `|x - x0|^2` over the
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


@dataclass(frozen=True, repr=False)
class Nearest(NearestSolution):
    """The nearest feasible points of N problems.

    Attributes:
        margin: The constraint itself at the point, `(N,)`.
        multiplier: Weight of the constraint at the end, `(N,)`.
        after_stages: `value` as it was after each of the S stages, `(N, S)`; infinite where a
            problem did not end that stage.
    """

    margin: Tensor
    multiplier: Tensor
    after_stages: Tensor

    @property
    def feasible(self) -> Tensor:
        """Another name of `success`, `(N,)`."""
        return self.success

    @property
    def square(self) -> Tensor:
        """Another name of `value`, `|point - x0|^2`, `(N,)`."""
        return self.value


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
    beaten_at: Tensor | None = None,
    rival: Tensor | None = None,
    start: Tensor | None = None,
    on_finished: Callable[[int], None] | None = None,
) -> Nearest:
    """Find for each problem the nearest point of the box at which the constraint is negative.

    Descends on `1/2 |x - x0|^2 + multiplier * constraint` with the multiplier chosen in each
    step so that the step's linear model ends on the boundary: sequential quadratic programming
    with one constraint and an L-BFGS matrix, on a constraint that is smooth at first and sharper
    from stage to stage.

    Args:
        fun: The constraint.
        x0: Points to stay near to, in the box, `(N, D)`.
        lower: Lower limit: a number or `(D,)`; may be infinite.
        upper: Upper limit, likewise.
        unit: Of the smoothing, positive, `(N,)`: usually the constraint at x0.
        stages: The continuation.
        memory: Pairs of the L-BFGS matrix.
        slots: Problems worked on at a time.
        beaten_at: Squared distances, `(N,)`, of points that are known from elsewhere. A problem
            whose point is farther away than that after its first steps is given up.
        rival: Squared distances, `(N, S)`, that another search had after each stage; infinite
            where there are none. A problem that ends a stage hardly nearer than that is given up.
        start: Where the search begins, in the box, `(N, D)`; None for `x0`. Another start may end
            in another local minimum.
        on_finished: Called with the number of problems that have just been finished.

    Returns:
        The solutions. Problems do not depend on each other.

    Raises:
        ValueError: If `x0` is not of shape `(N, D)`, the box is empty or of another shape, a
            number is less than 1, there is no stage, or the constraint has no gradient.
    """
    check(x0, memory=memory, slots=slots, stages=len(stages))
    box = Box.like(x0, lower, upper)
    with grad_island():
        search = _Search(
            fun, ordinary(x0), box, unit, stages, memory, slots, beaten_at, rival, start
        )
        run(search, on_finished)
    return search.found


class _Search(Search):
    def __init__(
        self,
        fun: Constraint,
        x0: Tensor,
        box: Box,
        unit: Tensor,
        stages: Sequence[Stage],
        memory: int,
        slots: int,
        beaten_at: Tensor | None,
        rival: Tensor | None,
        start: Tensor | None,
    ) -> None:
        super().__init__(x0, slots)
        self._start = None if start is None else ordinary(start)
        self._fun, self._units, self._beaten_at, self._rival = fun, unit, beaten_at, rival
        table = [[float(getattr(stage, field.name)) for stage in stages] for field in fields(Stage)]
        self._stages = torch.tensor(table, dtype=torch.float64).to(x0)
        infinity = x0.new_full((len(x0),), torch.inf)
        none = torch.zeros(len(x0), dtype=torch.int64, device=x0.device)
        self._best = NearestSuccess(x0, self.slots)
        self.found = Nearest(
            self._best.x,
            infinity,
            none,
            none.to(torch.int8),
            infinity.clone(),
            infinity.clone(),
            infinity.unsqueeze(1).repeat(1, len(stages)),
        )
        first = self.slots.problems
        self._descent = AnchoredDescent(x0[first], box, memory=memory, least_scale=_LEAST_SCALE)
        self._at = SlotTable(
            len(first), x0, stage=0, steps=0, evaluations=0, unit=1, change=_CHANGE
        )
        self._at["unit"].copy_(unit[first])
        self._begin(torch.arange(len(first), device=x0.device), first)
        self._look_up()

    @property
    def parts(self) -> Sequence[Part]:
        """Points and memory, the best so far, numbers."""
        return self._descent, self._best, self._at

    def step(self) -> int:
        """Take one step in each slot; return how many problems were finished by it."""
        descent, at = self._descent, self._at
        trial = descent.propose(self._multiplier)
        found, margin = evaluate_with_margin(self._fun, trial, self.slots.problems, self._smoothing)
        # The first multiplier, at x0, is not held to what was before.
        at["change"].fill_(_CHANGE).masked_fill_(descent.fresh, torch.inf)
        outcome = descent.test(trial, found)
        self._best.update(trial, outcome.square, margin)
        descent.advance(trial, found, outcome)
        at["steps"].add_(1)
        at["evaluations"].add_(1)
        # Not finite at x0, or the gradient there is zero: no step will lead anywhere.
        hopeless = descent.fresh | outcome.still & ~self._best.found & (at["steps"] > 1)
        if self._beaten_at is not None:
            farther = descent.square > _FARTHER * self._beaten_at[self.slots.problems]
            hopeless = hopeless | farther & (at["evaluations"] >= _SETTLING)
        self._settled = self._is_settled(outcome)
        ended = (self._settled | hopeless).logical_or_(self._spent())
        return self._end(ended.logical_and_(self.slots.working).nonzero().squeeze(1), hopeless)

    def _look_up(self) -> None:
        """Take over what the stages say for the slots that are in them, `(n,)` each."""
        limits = self._stages[:, self._at["stage"].long()]
        smoothing, self._tolerance, self._inside, self._limit = limits.unbind()
        self._smoothing = smoothing * self._at["unit"]

    def _multiplier(self, product: Product) -> Tensor:
        """Solve `f + a.d = -inside |x - x0|^2 / multiplier`, `d = -H (r + multiplier a)`."""
        descent, change = self._descent, self._at["change"]
        old, (_, crossed), (_, curvature) = descent.multiplier, *product.inner.unbind(1)
        aim = torch.addcdiv(descent.value, self._inside * descent.square, old)
        new = aim.sub_(crossed).div_(curvature).mul_(self._urge())
        new = new.clamp_(old / change, old * change)
        return torch.where((curvature > 0).logical_and_(new < torch.inf), new, old)

    def _urge(self) -> Tensor:
        """Return a factor that grows where a stage has used its steps twice in vain: `(n,)`.

        At a kink of the constraint the linear model promises what does not come, and only a larger
        multiplier moves the minimiser into the feasible set.
        """
        late = torch.sub(self._at["steps"], self._limit, alpha=2)
        return late.clamp_(min=0).div_(_PATIENCE).exp2_()

    def _is_settled(self, outcome: AnchoredStep) -> Tensor:
        """Return which slots are at the minimiser of their stage: bool `(n,)`."""
        descent = self._descent
        off = torch.addcmul(self._inside * descent.square, descent.multiplier, descent.value)
        off = off.abs_().sub_(outcome.slope)
        near = off <= self._tolerance * descent.square
        return near.logical_and_(outcome.accepted).logical_and_(outcome.full)

    def _spent(self) -> Tensor:
        """Return which slots have used up the steps of their stage: bool `(n,)`."""
        return self._at["steps"] >= torch.where(self._best.found, self._limit, 8 * self._limit)

    def _end(self, slots: Tensor, hopeless: Tensor) -> int:
        """Go on to the next stage in some slots (an index) that ended one, or finish."""
        if not len(slots):
            return 0
        last = (self._at["stage"][slots] == self._stages.shape[1] - 1) | hopeless[slots]
        last = last | self._is_behind(slots)
        onward = slots[~last]
        self._at["stage"][onward] += 1
        self._at["steps"][onward] = 0.0
        self._descent.length[onward] = 1.0
        self._settled.logical_and_(hopeless.logical_not_())
        finished = self.finish(slots[last])
        self._look_up()
        return finished

    def _is_behind(self, slots: Tensor) -> Tensor:
        """Write down how near slots (an index) came in the stage that they ended, `(k,)`.

        Returns:
            Which of them are hardly nearer than the other search was, bool `(k,)`.
        """
        stage, problems = self._at["stage"][slots].long(), self.slots.problems[slots]
        reached = self._best.square[slots]
        self.found.after_stages[problems, stage] = reached
        if self._rival is None:
            return torch.zeros_like(reached, dtype=torch.bool)
        other = self._rival[problems, stage]
        return (reached >= _AHEAD * other).logical_and_(other.isfinite())

    def write(self, slots: Tensor, problems: Tensor) -> None:
        """Write the results of some slots down."""
        best, found = self._best, self.found
        found.value[problems] = best.square[slots]
        found.margin[problems] = best.margin[slots]
        found.multiplier[problems] = self._descent.multiplier[slots]
        found.evaluations[problems] = self._at["evaluations"][slots].long()
        found.status[problems] = success_status(
            best.found[slots], self._settled[slots], self._descent.fresh[slots]
        )

    def _begin(self, slots: Tensor, problems: Tensor) -> None:
        """Go to where the search of some problems (an index) begins."""
        if self._start is not None:
            self._descent.restart(slots, self._start[problems])

    def load(self, slots: Tensor, problems: Tensor) -> None:
        """Start new problems in some slots."""
        self._descent.load(slots, self._x0[problems])
        self._begin(slots, problems)
        self._best.load(slots)
        self._at.load(slots)
        self._at["unit"][slots] = self._units[problems]
