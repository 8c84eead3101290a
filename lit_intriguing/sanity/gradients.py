"""Signs in a model's gradients: none, or not those of the function that the model computes."""

import math

import torch
from torch import Tensor

from lit_intriguing.attacks.criteria import Untargeted, lead
from lit_intriguing.attacks.gradient import NoGradientError, has_direction, input_gradient
from lit_intriguing.attacks.sealed_model import Model
from lit_intriguing.autograd import grad_island, ordinary
from lit_intriguing.types import Bounds

_DIRECTIONS = 8
_STEPS = (0.01, 0.1, 1.0)
"""Lengths in L2 of the differences that gradients are compared with."""
_MARGIN, _FEW = 0.02, 0.02
"""Room that an element has to have; the share of elements below which all are moved."""
_FAR = 0.5
"""Relative error from which on a gradient counts as wrong."""


def zero_gradients(model: Model, images: Tensor, labels: Tensor) -> float:
    """Return the share of examples without a gradient of the cross-entropy to follow.

    It is zero, or not finite, or the output does not depend on the input by differentiable steps
    at all, as where inputs are quantised.

    Args:
        model: Maps examples to logits `(N, C)`.
        images: `(N, *S)`.
        labels: `(N,)`.
    """
    with grad_island():
        try:
            gradient = input_gradient(model, ordinary(images), Untargeted(labels))
        except NoGradientError:
            return 1.0
    return float((~has_direction(gradient)).double().mean()) if len(images) else math.nan


def wrong_gradients(
    model: Model,
    images: Tensor,
    labels: Tensor,
    generator: torch.Generator | None = None,
    bounds: Bounds | None = None,
) -> float:
    """Return the share of examples whose gradient is not that of the function which is computed.

    A branch that is detached, a straight-through estimator or a backward pass that was written by
    hand give such. Of the true label's lead over the other logits, slopes along random directions
    are compared with central differences, at several step lengths; the best counts. Elements on the
    border of the box stay where they are: a model may clamp what lies outside.

    Args:
        model: Maps examples to logits `(N, C)`.
        images: `(N, *S)`, float32 or float64.
        labels: `(N,)`.
        generator: Of the directions, on the CPU; None for one seeded with 0.
        bounds: The box; None for [0, 1].

    Returns:
        NaN where the output does not change with the input, and has no gradient either.
    """
    generator = generator or torch.Generator().manual_seed(0)
    with grad_island():
        images = ordinary(images)
        gradient = _gradient_of_lead(model, images, labels)
    directions = torch.randn((_DIRECTIONS, *images.shape), generator=generator).to(images)
    directions = directions * _inside(images, bounds or Bounds())
    lengths = directions.flatten(2).norm(dim=2).view(*directions.shape[:2], *_ones(images))
    directions = directions / lengths.clamp(min=1e-12)
    said = (directions * gradient).flatten(2).sum(2).double()
    errors = [_relative_error(said, _slopes(model, images, labels, directions, h)) for h in _STEPS]
    best = torch.stack(errors).nan_to_num(nan=math.inf).amin(0)
    known = torch.stack(errors).isfinite().any(0)
    return float((best[known] > _FAR).double().mean()) if bool(known.any()) else math.nan


def _inside(images: Tensor, bounds: Bounds) -> Tensor:
    """Return which elements have room on both sides, bool; all of them where hardly any has."""
    lower, upper = bounds.tensors_like(images)
    room = (images > lower + _MARGIN) & (images < upper - _MARGIN)
    few = room.flatten(1).double().mean(1) < _FEW
    return room | few.view(-1, *_ones(images))


def _gradient_of_lead(model: Model, images: Tensor, labels: Tensor) -> Tensor:
    x = images.requires_grad_()
    total = lead(model(x), labels).sum()
    if not total.requires_grad:
        return torch.zeros_like(images)
    (gradient,) = torch.autograd.grad(total, x, allow_unused=True)
    return torch.zeros_like(images) if gradient is None else gradient


def _slopes(model: Model, images: Tensor, labels: Tensor, directions: Tensor, h: float) -> Tensor:
    """Return central differences along directions `(K, N, *S)`: `(K, N)`, float64."""
    with torch.no_grad():
        found = [
            lead(model(images + h * one), labels).double()
            - lead(model(images - h * one), labels).double()
            for one in directions
        ]
    return torch.stack(found) / (2 * h)


def _relative_error(said: Tensor, measured: Tensor) -> Tensor:
    """Return the error of slopes `(K, N)` by example: `(N,)`, NaN where all are zero."""
    scale = torch.maximum(said.norm(dim=0), measured.norm(dim=0))
    error: Tensor = (said - measured).norm(dim=0) / scale
    return error


def _ones(images: Tensor) -> tuple[int, ...]:
    return (1,) * (images.ndim - 1)
