"""N independent box-constrained problems, minimised at once by projected L-BFGS."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lit_intriguing.autograd import grad_island, ordinary
from lit_intriguing.solvers.batch_state import SlotTable
from lit_intriguing.solvers.box import Box, Limit
from lit_intriguing.solvers.evaluation import Objective, evaluate
from lit_intriguing.solvers.plain_descent import PlainDescent
from lit_intriguing.solvers.search import Part, Search, check, run
from lit_intriguing.solvers.solution import Solution, Status

_IDLE = 10
"""After so many consecutive steps without a change beyond rounding the dtype can do no more."""

_SMALL = 1 / 3
"""A gradient is small up to this power of the dtype's eps, times 1 + the objective's size."""

_ROUNDINGS = 1000.0
"""It is small as well up to so many roundings of the one at x0."""


@dataclass(frozen=True, repr=False)
class BoxSolution(Solution):
    """Minimisers of N problems of D variables: where each ended.

    Where the status is `NOT_FINITE`, the point is x0 and the numbers are NaN.

    Attributes:
        gradient_norm: Largest entry of `clip(x - g) - x`, exactly, `(N,)`.
    """

    gradient_norm: Tensor


def minimise_box(
    fun: Objective,
    x0: Tensor,
    lower: Limit = -torch.inf,
    upper: Limit = torch.inf,
    *,
    history: int = 10,
    max_steps: int = 1000,
    gtol: float = 1e-5,
    slots: int | None = None,
    on_finished: Callable[[int], None] | None = None,
) -> BoxSolution:
    """Minimise N independent functions of D variables, each in the same box.

    Projected L-BFGS with the limits held by an active set (Bertsekas 1982) and steps cut by
    backtracking (Nocedal and Wright 2006, chapter 3). All problems share each forward and backward,
    and nothing else. Work space: at most `2 * history + 12` times `slots * D` numbers.

    `converged` is true only at a stationary point: the projected gradient is within `gtol`, or no
    step lowers the objective beyond its rounding and the gradient is small: at most
    `eps^(1/3) (1 + |f|)`, or 1,000 `eps` times its size at x0. Where no step lowers the objective
    and the gradient is not small, as at a kink, the status is `STUCK`.

    Args:
        fun: Maps points `(n, D)` and the problems they belong to, int64 `(n,)` of 0 .. N-1,
            to values `(n,)`; value i may depend on point i only, differentiably.
        x0: First points, `(N, D)`, moved into the box; any floating dtype and device.
        lower: Least value: a number, or one for each coordinate, `(D,)`; may be `-inf`.
        upper: Greatest value, likewise; may equal the least, which fixes the coordinate.
        history: Pairs that the inverse Hessian is made of, m.
        max_steps: Gradients spent on a problem, at most.
        gtol: Ends a problem once no entry of `clip(x - g) - x` exceeds it.
        slots: Problems worked on at a time; None: all.
        on_finished: Called with the number of problems that have just been finished.

    Returns:
        The solutions; a problem that fails does not disturb the others.

    Raises:
        ValueError: If `x0` is not of shape `(N, D)`, the box is empty or of another shape, an
            option is out of its range, or `fun` gives no gradient or not `n` values.

    Examples:
        >>> target = torch.tensor([[2.0, -1.0], [0.5, 0.25]])
        >>> def distance(x, problems):
        ...     return (x - target[problems]).square().sum(1)
        >>> minimise_box(distance, torch.zeros(2, 2), 0.0, 1.0).x
        tensor([[1.0000, 0.0000],
                [0.5000, 0.2500]])
    """
    check(x0, history=history, max_steps=max_steps, slots=slots)
    if not gtol >= 0:
        raise ValueError(f"gtol must be at least 0, not {gtol}.")
    box = Box.like(x0, lower, upper)
    with grad_island():
        x0 = box.project_(ordinary(x0).clone())
        if not len(x0):
            return _empty(x0)
        search = _Run(fun, x0, box, history, max_steps, gtol, len(x0) if slots is None else slots)
        run(search, on_finished)
    return search.found


def _empty(x0: Tensor) -> BoxSolution:
    none = x0.new_zeros(0)
    return BoxSolution(x0, none, none.long(), none.to(torch.int8), none)


class _Run(Search):
    def __init__(
        self,
        fun: Objective,
        x0: Tensor,
        box: Box,
        history: int,
        max_steps: int,
        gtol: float,
        slots: int,
    ) -> None:
        super().__init__(x0, slots)
        self._fun, self._max_steps, self._gtol, self._box = fun, max_steps, gtol, box
        nan = x0.new_full((len(x0),), torch.nan)
        none = torch.zeros(len(x0), dtype=torch.int64, device=x0.device)
        self.found = BoxSolution(x0.clone(), nan, none, none.to(torch.int8), nan.clone())
        self._descent = PlainDescent(x0[self.slots.problems], box, memory=history)
        count = len(self.slots.problems)
        self._at = SlotTable(count, self.slots.problems, steps=0, idle=0, tried=0)
        # Largest entry of the projected gradient at x0.
        self._first = SlotTable(count, x0, norm=0)

    @property
    def parts(self) -> Sequence[Part]:
        """Points and memory, numbers."""
        return self._descent, self._at, self._first

    def step(self) -> int:
        """Take one step in each slot; return how many problems were finished by it."""
        descent, idle = self._descent, self._at["idle"]
        new = descent.fresh
        trial = descent.propose()
        found = evaluate(self._fun, trial, self.slots.problems)
        outcome = descent.test(trial, found)
        descent.advance(trial, found, outcome)
        self._at["steps"].add_(1)
        # A rejected trial neither counts nor begins the count again.
        progress = outcome.accepted & ~outcome.idle
        idle.add_(outcome.idle).masked_fill_(progress | new, 0)
        self._try_steepest(progress | new)
        self._norm = self._projected_gradient()
        self._first["norm"].copy_(torch.where(new, self._norm, self._first["norm"]))
        self._status = self._ending()
        return self.finish(((self._status >= 0) & self.slots.working).nonzero().squeeze(1))

    def _try_steepest(self, progress: Tensor) -> None:
        """Empty a memory that leads nowhere once before the problem ends: it may mislead."""
        idle, tried = self._at["idle"], self._at["tried"]
        tried.masked_fill_(progress, 0)
        again = (idle >= _IDLE) & (tried == 0)
        if bool(again.any()):
            tried.masked_fill_(again, 1)
            idle.masked_fill_(again, 0)
            self._descent.begin_again(again)

    def _projected_gradient(self) -> Tensor:
        """Return the largest entry of `clip(x - g) - x`, `(n,)`."""
        descent, (moved, spare) = self._descent, self._descent.pairs.spares
        # Not as the difference of two points, which loses gradients smaller than their rounding.
        torch.neg(descent.pairs.a, out=moved)
        torch.maximum(moved, torch.sub(self._box.lower, descent.x, out=spare), out=moved)
        torch.minimum(moved, torch.sub(self._box.upper, descent.x, out=spare), out=moved)
        return moved.abs_().amax(1) if moved.shape[1] else descent.value * 0

    def _ending(self) -> Tensor:
        """Return why each slot ended, or -1 where it goes on: `(n,)`."""
        steps, still = self._at["steps"], self._at["idle"] >= _IDLE
        status, small = torch.full_like(steps, -1), self._gradient_is_small()
        for why, where in (
            (Status.STEPS, steps >= self._max_steps),
            (Status.PRECISION, still & small),
            (Status.STUCK, still & ~small),
            (Status.CONVERGED, self._norm <= self._gtol),
            (Status.NOT_FINITE, self._descent.fresh),
        ):
            status = torch.where(where, int(why), status)
        return status

    def _gradient_is_small(self) -> Tensor:
        """Return where a gradient may be what rounding makes of none: bool `(n,)`."""
        value, eps = self._descent.value, torch.finfo(self._norm.dtype).eps
        least = torch.maximum(
            eps**_SMALL * (1 + value.abs()), _ROUNDINGS * eps * self._first["norm"]
        )
        return self._norm <= least

    def write(self, slots: Tensor, problems: Tensor) -> None:
        """Write the results of some slots down."""
        descent, found = self._descent, self.found
        broken = descent.fresh[slots]
        found.status[problems] = self._status[slots].to(torch.int8)
        found.point[problems] = descent.x[slots]
        found.value[problems] = descent.value[slots].masked_fill(broken, torch.nan)
        found.gradient_norm[problems] = self._norm[slots].masked_fill(broken, torch.nan)
        found.evaluations[problems] = self._at["steps"][slots]

    def load(self, slots: Tensor, problems: Tensor) -> None:
        """Start new problems in some slots."""
        self._descent.load(slots, self._x0[problems])
        self._at.load(slots)
        self._first.load(slots)
