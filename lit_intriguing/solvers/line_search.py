"""The line search of all solvers: backtracking, with a test of sufficient decrease (Armijo)."""

from dataclasses import dataclass

import torch
from torch import Tensor

_SUFFICIENT = 1e-4
"""Share of the decrease predicted by the gradient that a step must reach (Armijo)."""


@dataclass(frozen=True)
class Step:
    """The result of a trial; one entry for each of n slots.

    Attributes:
        accepted: Whether the objective fell enough, bool.
        full: Whether the step was not cut, bool; never the first trial, which is the anchor.
        slope: `g . d`, the derivative along the direction (not positive).
        square: `|trial - x0|^2`.
        moved: `|trial - x|^2`.
        change: Of the objective.
        rounding: What rounding may change in it.
    """

    accepted: Tensor
    full: Tensor
    slope: Tensor
    square: Tensor
    moved: Tensor
    change: Tensor
    rounding: Tensor

    @property
    def idle(self) -> Tensor:
        """Whether the objective changed by no more than rounding, bool."""
        return self.change.abs() <= self.rounding

    @property
    def still(self) -> Tensor:
        """Whether the trial of a step that was not cut is the point itself, bool."""
        return self.full & (self.moved == 0)


def decreases_enough(change: Tensor, predicted: Tensor, rounding: Tensor) -> Tensor:
    """Return which steps decrease the objective enough (Armijo), bool `(n,)`.

    Nocedal and Wright 2006, eq. 3.4, with what rounding may change on top.

    Args:
        change: Of the objective, `(n,)`.
        predicted: The change that the gradient predicts, `(n,)`.
        rounding: What rounding may change in the objective, `(n,)`.
    """
    return change <= torch.add(rounding, predicted, alpha=_SUFFICIENT)


def next_length(length: Tensor, accepted: Tensor, change: Tensor, predicted: Tensor) -> Tensor:
    """Return the length of the next step, `(n,)`: 1 after an accepted one, else a shorter one.

    A rejected step is cut to the minimiser of a parabola, within 0.1 and 0.5 of its length
    (Nocedal and Wright 2006, eq. 3.57).

    Args:
        length: Of the step that was tried, `(n,)`.
        accepted: Whether it was accepted, bool `(n,)`.
        change: Of the objective, `(n,)`.
        predicted: The change that the gradient predicts, `(n,)`.
    """
    excess = (change - predicted).clamp_(min=torch.finfo(change.dtype).tiny)
    factor = (predicted / excess).mul_(-0.5).clamp_(0.1, 0.5).nan_to_num_(0.1)
    return (factor.mul_(length)).masked_fill_(accepted, 1.0)
