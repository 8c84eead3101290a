"""The line search of all solvers: a test of sufficient decrease (Armijo), and what follows it."""

from dataclasses import dataclass

import torch
from torch import Tensor

_SUFFICIENT = 1e-4
"""Share of the decrease predicted by the gradient that a step must reach (Armijo)."""

_GROWTH = 1.4
"""An accepted step raises the scale by this factor, to at most 1."""

_LONGER = 2.0
"""A step along which the gradient grew is followed by one so many times as long."""


@dataclass(frozen=True)
class Step:
    """The result of a trial; one entry for each of n slots.

    Attributes:
        accepted: Whether the objective fell enough, bool.
        full: Whether the step was not cut, bool; never the first trial, which is the start.
        slope: `g . d`, the derivative along the direction (not positive).
        moved: `|trial - x|^2`.
        change: Of the objective.
        rounding: What rounding may change in it.
    """

    accepted: Tensor
    full: Tensor
    slope: Tensor
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


def rounding_of(size: Tensor) -> Tensor:
    """Return what rounding may change in an objective of this size, `(n,)`."""
    return size * (4 * torch.finfo(size.dtype).eps)


def decreases_enough(change: Tensor, predicted: Tensor, rounding: Tensor) -> Tensor:
    """Return which steps decrease the objective enough (Armijo), bool `(n,)`.

    Nocedal and Wright 2006, eq. 3.4, with what rounding may change on top.

    Args:
        change: Of the objective, `(n,)`.
        predicted: The change that the gradient predicts, `(n,)`.
        rounding: What rounding may change in the objective, `(n,)`.
    """
    return change <= torch.add(rounding, predicted, alpha=_SUFFICIENT)


def cut(change: Tensor, predicted: Tensor) -> Tensor:
    """Return what share of a rejected step to try next, within 0.1 and 0.5: `(n,)`.

    Where a parabola through both values and the slope has its minimum (Nocedal and Wright 2006,
    eq. 3.57).

    Args:
        change: Of the objective along the whole step, `(n,)`.
        predicted: The change that the gradient predicts, `(n,)`.
    """
    excess = (change - predicted).clamp_(min=torch.finfo(change.dtype).tiny)
    return (predicted / excess).mul_(-0.5).clamp_(0.1, 0.5).nan_to_num_(0.1)


def next_scale(
    scale: Tensor, length: Tensor, accepted: Tensor, share: Tensor, least: float
) -> tuple[Tensor, Tensor]:
    """Return the scale of the inverse Hessian for the next step and its length, `(n,)` each.

    A step that is cut falls short of the constraint, and the next one would be too long again. The
    scale acts on directions that the pairs do not know; where a network is rough, as at kinks and
    behind normalisation, these are nearly all. Once the scale is at its least, it is the way to
    the constraint that is too long, and the step is cut.

    Args:
        scale: Of the step that was tried, `(n,)`.
        length: Its length, `(n,)`.
        accepted: Whether it was accepted, bool `(n,)`.
        share: What `cut` returns, `(n,)`.
        least: Least scale.
    """
    smaller = (share * scale).clamp_(min=least)
    short = (scale <= least) & ~accepted
    following = torch.where(accepted, (scale * _GROWTH).clamp_(max=1.0), smaller)
    return following, torch.where(short, share * length, 1.0)


def next_length(length: Tensor, accepted: Tensor, longer: Tensor, share: Tensor) -> Tensor:
    """Return the length of the next step, `(n,)`: 1 or more after an accepted one, else cut.

    Args:
        length: Of the step that was tried, `(n,)`.
        accepted: Whether it was accepted, bool `(n,)`.
        longer: Which accepted steps are followed by a longer one, bool `(n,)`.
        share: What `cut` returns, `(n,)`.
    """
    onward = torch.where(longer, _LONGER * length, 1.0)
    return torch.where(accepted, onward, share * length)


def next_reach(moved: Tensor) -> Tensor:
    """Return the length of a step without any pair, `(n,)`, after one of length `sqrt(moved)`."""
    return (_LONGER * moved.sqrt()).clamp_(max=torch.finfo(moved.dtype).max ** 0.25)
