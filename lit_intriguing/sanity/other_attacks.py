"""Signs that other attacks give: one without limits that fails, one on another model that works."""

from collections.abc import Mapping

import torch
from torch import Tensor

from lit_intriguing.attacks.base import Attack
from lit_intriguing.attacks.criteria import Untargeted
from lit_intriguing.attacks.gradient import GradientAttack, NoGradientError
from lit_intriguing.attacks.sealed_model import Model
from lit_intriguing.types import Bounds

_STEPS = 100


def unconstrained_failure(
    model: Model, images: Tensor, labels: Tensor, bounds: Bounds | None = None
) -> float:
    """Return the share of examples that a gradient attack without a limit on its length misses.

    Within the pixels' box every image can be reached, so that some other class must be found
    (Athalye et al. 2018, section 3.1: "unbounded attacks do not reach 100% success").

    Args:
        model: Maps examples to logits `(N, C)`.
        images: `(N, *S)`, which the model reads rightly.
        labels: `(N,)`.
        bounds: The box; None for [0, 1].

    Returns:
        NaN where there is no example.
    """
    if not len(images):
        return float("nan")
    across = _widest(bounds or Bounds(), images)
    attack = GradientAttack(eps=across, norm="inf", steps=_STEPS, step_size=across / 20)
    return float((~_fooled(attack, model, images, labels, bounds)).double().mean())


def transfer_beats(
    model: Model,
    others: Mapping[str, Model],
    images: Tensor,
    labels: Tensor,
    attack: Attack,
    bounds: Bounds | None = None,
) -> dict[str, float]:
    """Return the share of examples that an attack misses on a model but finds on another.

    Examples made for another model that fool this one exist, and its own gradients should have led
    to some (Pintor et al. 2022: non-transferability; Athalye et al. 2018: "black-box attacks are
    better than white-box attacks").

    Args:
        model: Maps examples to logits `(N, C)`.
        others: Models by name, best of the same data and without a defence.
        images: `(N, *S)`, which the model reads rightly.
        labels: `(N,)`.
        attack: For both; of a fixed length, as one that searches for the nearest example stops at
            the other model's border.
        bounds: The box; None for [0, 1].

    Returns:
        By name; NaN where there is no example, or the other model gives the attack no gradient.
    """
    if not len(images):
        return dict.fromkeys(others, float("nan"))
    own = _fooled(attack, model, images, labels, bounds)
    found = {}
    for name, other in others.items():
        try:
            made = attack(other, images, Untargeted(labels), bounds=bounds).adversarial
        except NoGradientError:
            found[name] = float("nan")
            continue
        with torch.no_grad():
            across = model(made).argmax(1) != labels
        found[name] = float((across & ~own).double().mean())
    return found


def _fooled(
    attack: Attack, model: Model, images: Tensor, labels: Tensor, bounds: Bounds | None
) -> Tensor:
    try:
        return attack(model, images, Untargeted(labels), bounds=bounds).success
    except NoGradientError:
        return torch.zeros(len(images), dtype=torch.bool, device=images.device)


def _widest(bounds: Bounds, images: Tensor) -> float:
    """Return the largest distance within the box; without a box, far beyond the images' own."""
    lower, upper = bounds.tensors_like(images)
    width = float((upper - lower).max())
    return width if width < float("inf") else 10 * float(images.max() - images.min() + 1)
