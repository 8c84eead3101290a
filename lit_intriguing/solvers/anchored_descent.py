"""Steps that stay near to an anchor: those of the searches for the nearest point."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from lit_intriguing.solvers.box import Box
from lit_intriguing.solvers.chosen_rows import ChosenRows
from lit_intriguing.solvers.descent import Descent
from lit_intriguing.solvers.evaluation import Evaluation, squared_lengths
from lit_intriguing.solvers.lbfgs_memory import Free
from lit_intriguing.solvers.line_search import Step, cut, decreases_enough, next_scale, rounding_of


@dataclass(frozen=True)
class AnchoredStep(Step):
    """The result of a trial; one entry for each of n slots.

    Attributes:
        square: `|trial - x0|^2`.
        scale: Of the inverse Hessian that the direction came from.
    """

    square: Tensor
    scale: Tensor


class AnchoredDescent(Descent):
    """Decreases `F(x) = |x - x0|^2 / 2 + multiplier * f(x)` in a box, for n problems at once.

    The inverse Hessian starts from `scale` times the identity. At `scale` 1 that is exact for the
    distance alone. A rejected step is not cut: it shrinks the scale, and with it only the
    directions that no pair knows, so that `retune` can still aim every step at the constraint.
    Once the scale is at its least, steps are cut too. The pair of a rejected step is stored all
    the same.

    Args:
        x0: First points and anchors, in the box, `(n, D)`; copied.
        box: Where to stay.
        memory: Number of pairs, m.
        least_scale: Least scale.

    Attributes:
        anchor: x0, `(n, D)`.
        square: `|x - x0|^2`, `(n,)`.
        scale: In (0, 1], `(n,)`.
    """

    per_slot: ClassVar[tuple[str, ...]] = (*Descent.per_slot, "anchor", "square", "scale")

    def __init__(self, x0: Tensor, box: Box, *, memory: int, least_scale: float) -> None:
        super().__init__(x0, box, memory=memory, anchored=True)
        self.anchor, self._least = x0.clone(), least_scale
        self.square, self.scale = torch.zeros_like(self.value), torch.ones_like(self.value)

    def _scale(self) -> Tensor:
        return self.scale

    def _free_coordinates(self) -> Free:
        """Return what is 0 where `x` is at a limit and `-g` points out of the box, else 1.

        Inside the box a coordinate is free even where g is 0, as it is at a minimiser: the next
        multiplier moves it again.
        """
        columns = self.multiplier.unsqueeze(1)

        def free(part: slice) -> Tensor:
            x = self.x[part]
            toward, spare = (space[: len(x)] for space in self.pairs.spares)
            # x - g, since r is x - x0.
            a, column = self.pairs.a[part], columns[part]
            toward = torch.addcmul(self.anchor[part], a, column, value=-1, out=toward)
            return self._box.free(x, toward, out=self._free[part], spare=spare)

        return free

    def _masked(self, part: slice, step: Tensor) -> Tensor:
        return torch.addcmul(self.x[part], step, self._free[part], out=self._trial[part])

    def test(self, trial: Tensor, found: Evaluation) -> AnchoredStep:
        """Test the trial points; set the next scale."""
        finite, multiplier = found.finite, self.multiplier
        step = self.pairs.store(trial, self.x, found.gradient, finite)
        moved = squared_lengths(step)
        predicted = self._products(self.pairs.a, step).mul_(multiplier)
        along = self._products(self.pairs.r, step)
        predicted += along
        # By differences: no digits are lost to the size of F itself.
        change = (found.value - self.value).mul_(multiplier)
        change += along.add_(moved, alpha=0.5)
        size = torch.maximum((self.value * multiplier).abs_(), self.square / 2)
        rounding = rounding_of(size)
        enough = decreases_enough(change, predicted, rounding)
        accepted = (enough | self.fresh).logical_and_(finite)
        square = squared_lengths(torch.sub(trial, self.anchor, out=self.pairs.r))
        result = AnchoredStep(
            accepted, self.length == 1, self._slope, moved, change, rounding, square, self.scale
        )
        self.scale, self.length = next_scale(
            self.scale, self.length, accepted, cut(change, predicted), self._least
        )
        self.scale.masked_fill_(self.fresh, 1.0)
        return result

    def advance(self, trial: Tensor, found: Evaluation, step: Step) -> ChosenRows:
        """Go to the trial points that were accepted; take `trial` back."""
        assert isinstance(step, AnchoredStep)
        stay = super().advance(trial, found, step)
        stay.put(self.pairs.r, stay.of(self.x).sub_(stay.of(self.anchor)))
        self.square = torch.where(step.accepted, step.square, self.square)
        return stay

    def restart(self, slots: Tensor, x: Tensor) -> None:
        """Go to other points of the same problems, which are evaluated next; the memory stays.

        Args:
            slots: An index, `(k,)`.
            x: The points, `(k, D)`.
        """
        difference = x - self.anchor[slots]
        self.x[slots], self.square[slots] = x, squared_lengths(difference)
        self.length[slots], self.fresh[slots] = 0.0, True
        self.pairs.r[slots] = difference

    def load(self, slots: Tensor, x0: Tensor) -> None:
        """Start new problems at their anchors in some slots."""
        super().load(slots, x0)
        self.anchor[slots] = x0
        self.square[slots], self.scale[slots] = 0.0, 1.0
