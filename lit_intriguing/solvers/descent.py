"""One projected L-BFGS step for each of many problems at once; see also `line_search`."""

from collections.abc import Callable

import torch
from torch import Tensor

from lit_intriguing.solvers.box import Box
from lit_intriguing.solvers.evaluation import Evaluation, squared_lengths
from lit_intriguing.solvers.lbfgs_memory import Pairs, Product
from lit_intriguing.solvers.line_search import Step, decreases_enough, next_length

_FORGET_BELOW = 1e-3
"""A step cut to less than this says that the memory misleads: it is emptied."""

_PER_SLOT = ("anchor", "x", "value", "square", "multiplier", "length", "fresh", "_slope")

Retune = Callable[[Product], Tensor]
"""Chooses the multiplier of each slot, `(n,)`, once inner products with H are known."""


class Descent:
    """Decreases `F(x) = q/2 |x - x0|^2 + multiplier * f(x)` in a box, for n problems at once.

    Every slot is a problem of its own: point, multiplier, memory and step length. A step goes
    along `-H g` on the free coordinates and is clipped to the box (Bertsekas 1982; without the
    tolerance for almost active limits). The pair is
    stored also where the step is rejected, and the next direction uses it. A new problem's first
    trial is its anchor itself, so that it is evaluated together with the others' trials.

    Args:
        x0: First points and anchors, in the box, `(n, D)`; copied.
        box: Where to stay.
        memory: Number of pairs, m.
        anchored: Whether q is 1, else 0.

    Attributes:
        anchor: x0, `(n, D)`.
        x: The points, `(n, D)`.
        value: f at the points, `(n,)`.
        square: `|x - x0|^2`, `(n,)`.
        multiplier: Weight of f, `(n,)`.
        length: Step length to try, `(n,)`.
        fresh: Which slots have not been evaluated yet, bool `(n,)`.
        pairs: The memory, with `r = q (x - x0)` and `a`, the gradient of f.
    """

    def __init__(self, x0: Tensor, box: Box, *, memory: int, anchored: bool) -> None:
        slots, dimensions = x0.shape
        self._box, self._bounded, self._anchored = box, not box.unbounded, anchored
        self.anchor, self.x = x0.clone(), x0.clone()
        self.pairs = Pairs(slots, dimensions, memory, anchored=anchored, like=x0)
        zeros = x0.new_zeros(slots)
        self.value, self.square, self.length = zeros, zeros.clone(), zeros.clone()
        self.multiplier, self.fresh = torch.ones_like(zeros), torch.ones_like(zeros).bool()
        self._slope, self._inverse = zeros.clone(), self.pairs.usable
        self._trial, self._free = torch.empty_like(x0), torch.empty_like(x0)

    def propose(self, retune: Retune | None = None) -> Tensor:
        """Return the points to try next, `(n, D)`, in the box.

        Args:
            retune: Chooses new multipliers before the direction is settled; None keeps them.

        Returns:
            Work space, which `advance` takes back.
        """
        free = self._free_coordinates() if self._bounded else None
        product = self.pairs.apply(self.multiplier, free)
        if retune is not None:
            self.multiplier = retune(product)
        self._inverse = product.inverse
        inner, multiplier = product.inner, self.multiplier
        cross = torch.addcmul(inner[0, 1] + inner[1, 0], inner[1, 1], multiplier)
        self._slope = torch.addcmul(inner[0, 0], cross, multiplier).neg_()
        step = self.pairs.combine(product, multiplier, self.length, self.pairs.spares[0])
        self._replace_ascents(step)
        if free is None:
            return torch.add(self.x, step, out=self._trial)
        return self._box.project_(torch.addcmul(self.x, step, free, out=self._trial))

    def test(self, trial: Tensor, found: Evaluation) -> Step:
        """Test the trial points by F and store their pairs; the points stay for now.

        Args:
            trial: What `propose` returned.
            found: Values and gradients of f there.

        Returns:
            Which trials are accepted, and what is known of the others.
        """
        finite, multiplier = found.finite, self.multiplier
        step = self.pairs.store(trial, self.x, found.gradient, finite)
        moved = squared_lengths(step)
        predicted = self._products(self.pairs.a, step).mul_(multiplier)
        # By differences: no digits are lost to the size of F itself.
        change = (found.value - self.value).mul_(multiplier)
        size = (self.value * multiplier).abs_()
        if self._anchored:
            along = self._products(self.pairs.r, step)
            predicted += along
            change += along.add_(moved, alpha=0.5)
            size = torch.maximum(size, self.square / 2)
        rounding = size.mul_(4 * torch.finfo(trial.dtype).eps)
        enough = decreases_enough(change, predicted, rounding)
        accepted = (enough | self.fresh).logical_and_(finite)
        difference = self.pairs.r if self._anchored else self.pairs.spares[0]
        square = squared_lengths(torch.sub(trial, self.anchor, out=difference))
        result = Step(accepted, self.length == 1, self._slope, square, moved, change, rounding)
        self._set_length(result, predicted)
        return result

    def advance(self, trial: Tensor, found: Evaluation, step: Step) -> None:
        """Go to the trial points that were accepted; takes `trial` back."""
        # Few trials are rejected, so these are put back: to choose by element costs much more.
        stay = step.accepted.logical_not().nonzero().squeeze(1)
        x, a = self.x.index_select(0, stay), self.pairs.a.index_select(0, stay)
        trial.index_copy_(0, stay, x)
        self.pairs.a.copy_(found.gradient).index_copy_(0, stay, a)
        if self._anchored:
            self.pairs.r.index_copy_(0, stay, x.sub_(self.anchor.index_select(0, stay)))
        self.x, self._trial = trial, self.x
        self.value = torch.where(step.accepted, found.value, self.value)
        self.square = torch.where(step.accepted, step.square, self.square)
        self.fresh = self.fresh > step.accepted

    def restart(self, slots: Tensor, x: Tensor) -> None:
        """Go to other points of the same problems, which are evaluated next; the memory stays.

        Args:
            slots: An index, `(k,)`.
            x: The points, `(k, D)`.
        """
        difference = x - self.anchor[slots]
        self.x[slots], self.square[slots] = x, squared_lengths(difference)
        self.length[slots], self.fresh[slots] = 0.0, True
        if self._anchored:
            self.pairs.r[slots] = difference

    def load(self, slots: Tensor, x0: Tensor) -> None:
        """Start new problems at their anchors in some slots.

        Args:
            slots: An index, `(k,)`.
            x0: The anchors, `(k, D)`.
        """
        self.anchor[slots], self.x[slots] = x0, x0
        self.pairs.load(slots)
        self.value[slots], self.square[slots], self.length[slots] = 0.0, 0.0, 0.0
        self.multiplier[slots], self.fresh[slots] = 1.0, True

    def keep(self, slots: Tensor) -> None:
        """Drop all slots but these (an index)."""
        for name in _PER_SLOT:
            setattr(self, name, getattr(self, name)[slots])
        self.pairs.keep(slots)
        self._trial, self._free = self._trial[: len(slots)], self._free[: len(slots)]

    def _products(self, u: Tensor, v: Tensor) -> Tensor:
        """Return the inner product of each problem's vectors, `(n,)`, without new memory."""
        return torch.mul(u, v, out=self.pairs.spares[0]).sum(1)

    def _free_coordinates(self) -> Tensor:
        """Return 0 where `x` is at a limit and `-g` points out of the box, else 1: `(n, D)`.

        Inside the box a coordinate is free even where g is 0, as it is at a minimiser: the next
        multiplier moves it again.
        """
        # x - g, since r is x - x0.
        base, column = self.anchor if self._anchored else self.x, self.multiplier.unsqueeze(1)
        toward, spare = self.pairs.spares
        toward = torch.addcmul(base, self.pairs.a, column, value=-1, out=toward)
        return self._box.free(self.x, toward, out=self._free, spare=spare)

    def _replace_ascents(self, step: Tensor) -> None:
        """Take minus the gradient where the direction does not descend, or the memory misleads."""
        good = (self._slope < 0).logical_and_(self.length >= _FORGET_BELOW).logical_or_(self.fresh)
        slots = good.logical_not_().nonzero().squeeze(1)
        if not len(slots):
            return
        self.pairs.forget(slots)
        r, a = (v.index_select(0, slots) for v in (self.pairs.r, self.pairs.a))
        gradient = r.addcmul_(a, self.multiplier[slots].unsqueeze(1))
        if self._bounded:
            gradient *= self._free.index_select(0, slots)
        square = squared_lengths(gradient)
        scale = torch.ones_like(square)
        if not self._anchored:
            scale = square.clamp(min=torch.finfo(square.dtype).tiny).rsqrt()
        step[slots] = gradient.mul_((-scale * self.length[slots]).unsqueeze(1))
        self._slope[slots] = -square * scale

    def _set_length(self, step: Step, predicted: Tensor) -> None:
        """Set the length of the next step.

        A step that was good and showed no curvature is followed by one of twice its length.
        """
        if not self._anchored:
            further = step.accepted & step.full & ~(self._inverse > 0).any(0)
            self.pairs.reach = torch.where(further, 2 * self.pairs.reach, self.pairs.reach)
        self.length = next_length(self.length, step.accepted, step.change, predicted)
