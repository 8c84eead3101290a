"""Steps that decrease a function alone: those of `minimise_box`."""

import torch
from torch import Tensor

from lit_intriguing.solvers.box import Box
from lit_intriguing.solvers.descent import Descent
from lit_intriguing.solvers.evaluation import Evaluation, squared_lengths
from lit_intriguing.solvers.lbfgs_memory import Free
from lit_intriguing.solvers.line_search import (
    Step,
    cut,
    decreases_enough,
    next_length,
    next_reach,
    rounding_of,
)


class PlainDescent(Descent):
    """Decreases `f(x)` in a box, for n problems at once.

    A rejected step is cut, and its pair is not used: beyond a steep wall it would say that f
    bends a thousand times as much as it does at the point. A step along which the gradient grew
    is followed by a longer one. Coordinates that a step of steepest descent takes to a limit go
    there at once.
    """

    def __init__(self, x0: Tensor, box: Box, *, memory: int) -> None:
        super().__init__(x0, box, memory=memory, anchored=False)
        self._finite_box = box.finite
        self._toward = torch.empty_like(x0) if self._bounded else x0[:0]

    def _scale(self) -> None:
        return None

    def _free_coordinates(self) -> Free:
        """Return what is 0 where a step of steepest descent ends at a limit, else 1.

        From wherever it starts: so many limits are found in one step.
        """
        column = self.pairs.steepest().unsqueeze(1)
        toward = torch.addcmul(self.x, self.pairs.a, column, value=-1, out=self._toward)
        self._box.project_(toward)
        torch.ne(toward, self._box.lower, out=self._free)
        self._free.mul_(torch.ne(toward, self._box.upper, out=self.pairs.spares[0]))
        return lambda part: self._free[part]

    def _masked(self, part: slice, step: Tensor) -> Tensor:
        """Write `x + step` to `_trial`, with the other coordinates on the way to their limits."""
        x, free, out = self.x[part], self._free[part], self._trial[part]
        held = self._toward[part].sub_(x)
        held.addcmul_(held, free, value=-1)
        self._slope[part] += torch.mul(held, self.pairs.a[part], out=out).sum(1)
        torch.addcmul(x, step, free, out=out)
        return out.addcmul_(held, self.length[part].unsqueeze(1))

    def test(self, trial: Tensor, found: Evaluation) -> Step:
        """Test the trial points; set the next length."""
        finite = found.finite
        step = self.pairs.store(trial, self.x, found.gradient, finite)
        predicted = self._products(self.pairs.a, step)
        change = found.value - self.value
        rounding = rounding_of(self.value.abs())
        enough = decreases_enough(change, predicted, rounding)
        accepted = (enough | self.fresh).logical_and_(finite)
        self.pairs.drop_newest(accepted)
        moved = squared_lengths(step)
        result = Step(accepted, self.length >= 1, self._slope, moved, change, rounding)
        # No curvature, no pair: the old ones would lead as far once more.
        grew = self._products(found.gradient, step) < predicted
        longer = grew & (self._inverse > 0).any(0) & ~self.fresh
        self.length = next_length(self.length, accepted, longer, cut(change, predicted))
        self._set_reach(result, found.gradient)
        return result

    def _set_reach(self, step: Step, gradient: Tensor) -> None:
        """Set how far the next step goes where there is no pair."""
        reach = self.pairs.reach
        reach = torch.where(step.accepted & (step.moved > 0), next_reach(step.moved), reach)
        if self._finite_box and bool(self.fresh.any()):
            # As SciPy does: the limits bound the first step, which may be all of -g.
            begins = step.accepted & self.fresh
            reach = torch.where(begins, torch.linalg.vector_norm(gradient, dim=1), reach)
        self.pairs.reach = reach

    def begin_again(self, slots: Tensor) -> None:
        """Empty the memory of some slots, bool `(n,)`: a step of steepest descent follows."""
        self.pairs.forget(slots)
        self.length.masked_fill_(slots, 1.0)

    def keep(self, slots: Tensor) -> None:
        """Drop all slots but these (an index)."""
        super().keep(slots)
        self._toward = self._toward[: len(slots)]
