"""One projected L-BFGS step for each of many problems at once; see also `line_search`."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor

from lit_intriguing.solvers.box import Box
from lit_intriguing.solvers.chosen_rows import ChosenRows
from lit_intriguing.solvers.evaluation import Evaluation, squared_lengths
from lit_intriguing.solvers.lbfgs_memory import Free, Pairs, Product
from lit_intriguing.solvers.line_search import Step

_FORGET_BELOW = 1e-8
"""A step cut to less than this says that the memory misleads: it is emptied."""

Retune = Callable[[Product], Tensor]
"""Chooses the multiplier of each slot, `(n,)`, once inner products with H are known."""


class Descent(ABC):
    """Decreases `F(x) = q/2 |x - x0|^2 + multiplier * f(x)` in a box, for n problems at once.

    `AnchoredDescent` has q = 1, `PlainDescent` q = 0 and multiplier 1. Every slot is a problem of
    its own: point, multiplier, memory and step length. A step goes along `-H g` on the free
    coordinates and is clipped to the box (Bertsekas 1982; without the tolerance for almost active
    limits). A new problem's first trial is its first point itself, so that it is evaluated
    together with the others' trials.

    Args:
        x0: First points, in the box, `(n, D)`; copied.
        box: Where to stay.
        memory: Number of pairs, m.
        anchored: Whether q is 1, else 0.

    Attributes:
        x: The points, `(n, D)`.
        value: f at the points, `(n,)`.
        multiplier: Weight of f, `(n,)`.
        length: Step length to try, `(n,)`.
        fresh: Which slots have not been evaluated yet, bool `(n,)`.
        pairs: The memory, with `r = q (x - x0)` and `a`, the gradient of f.
    """

    per_slot: ClassVar[tuple[str, ...]] = ("x", "value", "multiplier", "length", "fresh", "_slope")

    def __init__(self, x0: Tensor, box: Box, *, memory: int, anchored: bool) -> None:
        slots, dimensions = x0.shape
        self._box, self._bounded = box, not box.unbounded
        self.x = x0.clone()
        self.pairs = Pairs(slots, dimensions, memory, anchored=anchored, like=x0)
        zeros = x0.new_zeros(slots)
        self.value, self.length = zeros, zeros.clone()
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
        product = self.pairs.apply(self.multiplier, free, self._scale())
        if retune is not None:
            self.multiplier = retune(product)
        self._inverse = product.inverse
        inner, multiplier = product.inner, self.multiplier
        cross = torch.addcmul(inner[0, 1] + inner[1, 0], inner[1, 1], multiplier)
        self._slope = torch.addcmul(inner[0, 0], cross, multiplier).neg_()
        self._replace_ascents(product)
        for part, step in self.pairs.combine(product, multiplier, self.length):
            if self._bounded:
                self._box.project_(self._masked(part, step))
            else:
                torch.add(self.x[part], step, out=self._trial[part])
        return self._trial

    @abstractmethod
    def _scale(self) -> Tensor | None:
        """Return what the inverse Hessian starts from, `(n,)`; None: as the memory has it."""

    @abstractmethod
    def _free_coordinates(self) -> Free:
        """Return which coordinates the inverse Hessian moves; write it to `_free`, `(n, D)`."""

    @abstractmethod
    def _masked(self, part: slice, step: Tensor) -> Tensor:
        """Write `x + step` with the step of the free coordinates to `_trial`, for some problems.

        Args:
            part: Which k of the n.
            step: Theirs, `(k, D)`.

        Returns:
            What was written.
        """

    @abstractmethod
    def test(self, trial: Tensor, found: Evaluation) -> Step:
        """Test the trial points by F and store their pairs; the points stay for now.

        Args:
            trial: What `propose` returned.
            found: Values and gradients of f there.

        Returns:
            Which trials are accepted, and what is known of the others.
        """

    def advance(self, trial: Tensor, found: Evaluation, step: Step) -> ChosenRows:
        """Go to the trial points that were accepted; take `trial` back.

        Returns:
            The slots that stay where they are.
        """
        # Few trials are rejected, so these are put back.
        stay = ChosenRows(step.accepted.logical_not())
        stay.put(trial, stay.of(self.x))
        a = stay.of(self.pairs.a)
        self.pairs.a.copy_(found.gradient)
        stay.put(self.pairs.a, a)
        self.x, self._trial = trial, self.x
        self.value = torch.where(step.accepted, found.value, self.value)
        self.fresh = self.fresh > step.accepted
        return stay

    def load(self, slots: Tensor, x0: Tensor) -> None:
        """Start new problems in some slots.

        Args:
            slots: An index, `(k,)`.
            x0: Their first points, `(k, D)`.
        """
        self.x[slots] = x0
        self.pairs.load(slots)
        self.value[slots], self.length[slots] = 0.0, 0.0
        self.multiplier[slots], self.fresh[slots] = 1.0, True

    def keep(self, slots: Tensor) -> None:
        """Drop all slots but these (an index)."""
        for name in self.per_slot:
            setattr(self, name, getattr(self, name)[slots])
        self.pairs.keep(slots)
        self._trial, self._free = self._trial[: len(slots)], self._free[: len(slots)]

    def _products(self, u: Tensor, v: Tensor) -> Tensor:
        """Return the inner product of each problem's vectors, `(n,)`, without new memory."""
        return torch.mul(u, v, out=self.pairs.spares[0]).sum(1)

    def _replace_ascents(self, product: Product) -> None:
        """Take minus the gradient where the direction does not descend, or the memory misleads."""
        good = (self._slope < 0).logical_and_(self.length >= _FORGET_BELOW).logical_or_(self.fresh)
        slots = ChosenRows(good.logical_not_())
        if slots.none:
            return
        self.pairs.forget(slots.mask)
        product.coefficients.masked_fill_(slots.mask, 0.0)
        r, a = (slots.of(v) for v in (self.pairs.r, self.pairs.a))
        gradient = r.addcmul_(a, slots.of(self.multiplier).unsqueeze(1))
        if self._bounded:
            gradient *= slots.of(self._free)
        square = squared_lengths(gradient)
        if self._scale() is None:
            tiny = torch.finfo(square.dtype).tiny
            slots.put(product.scale, square.clamp(min=tiny).rsqrt())
        slots.put(self._slope, -square * slots.of(product.scale))
