"""Whether a host has class labels and logits, or only a loss."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lit_intriguing.autograd import grad_island, ordinary, preserved
from lit_intriguing.errors import UserError
from lit_intriguing.hosts.batch import BatchKeys
from lit_intriguing.hosts.host_rows import map_tensors
from lit_intriguing.hosts.paths import is_container, leaves, with_leaf
from lit_intriguing.hosts.step_loss import StepLoss

_SUM = 1e-2
"""How far from 1 a distribution's sum may be, in half precision."""

_IGNORED = 255
"""A label that losses are often told to ignore, as they are -1."""

_EQUAL = 1e-6
"""Relative difference of losses and gradients that is rounding."""


def class_labels(
    batch: Any,
    keys: BatchKeys,
    model: Callable[[], nn.Module],
    step: StepLoss,
    strict: bool = False,
) -> "Verdict":
    """Tell whether a host has class labels and logits.

    It has where its batch holds labels, one integer for each example, its model maps the inputs to
    logits `(N, C)` of these classes, and its loss depends on the labels.

    Args:
        batch: A batch.
        keys: Where inputs and labels are, found.
        model: Gives what maps inputs to class logits.
        step: The host's loss.
        strict: Whether the user said where the logits are.

    Raises:
        UserError: If they are not where the user said.
    """
    inputs, labels = (ordinary(one) for one in keys.read(batch))
    try:
        found = model()
        with preserved(found), torch.no_grad():
            logits = found(inputs[:2])
    except (UserError, RuntimeError, TypeError, ValueError) as error:
        if strict and isinstance(error, UserError):
            raise
        return Verdict(f"no logits were found: {error}")
    if logits.ndim != 2 or len(logits) != len(inputs[:2]):
        shape = tuple(logits.shape)
        found_shape = f"the model's output, of shape {shape} for {len(inputs[:2])} inputs"
        return Verdict(f"{found_shape}, is no logits (N, C)")
    classes = logits.shape[1]
    known = (labels.long() >= 0) & (labels.long() < classes)
    if bool(((labels.long() < 0) | (labels.long() == _IGNORED)).all()):
        return Verdict(None, classes)  # of a loss that ignores them all nothing can be seen
    if not bool(known.any()) or (classes == 2 and _is_far(labels)):
        return Verdict(f"the labels go up to {int(labels.max())}, for {classes} classes")
    other = torch.where(known, _another(labels.long(), known), labels.long()).to(labels.dtype)
    matter = None if callable(keys.labels) else _matter(batch, keys, (labels, other), step)
    if matter is False:
        return Verdict("the loss does not depend on the labels")
    return Verdict(None, classes, asked=matter is not None)


@dataclass(frozen=True)
class Verdict:
    """Whether a host has class labels and logits.

    Attributes:
        reason: Why it has not; None if it has.
        classes: Number of classes, 0 if there are none.
        asked: Whether that was seen in the loss; else the step does not take such a batch.
    """

    reason: str | None
    classes: int = 0
    asked: bool = True


def has_soft_labels(batch: Any, classes: int) -> bool:
    """Return whether a batch holds a distribution over the classes for each example.

    Training may mix examples and their labels, and validation not.
    """
    there = leaves(batch).values() if is_container(batch) else ()
    return any(_is_distribution(one, classes) for one in there)


def _is_distribution(entry: Any, classes: int) -> bool:
    if not isinstance(entry, Tensor) or not entry.is_floating_point() or entry.ndim != 2:
        return False
    sums = entry.float().sum(1)
    return entry.shape[1] == classes and bool(
        (entry >= 0).all() and ((sums - 1).abs() < _SUM).all()
    )


def _is_far(labels: Tensor) -> bool:
    """Return whether labels go beyond 0 and 1, not counting what losses ignore."""
    return bool(((labels.long() > 1) & (labels.long() != _IGNORED)).any())


def _another(labels: Tensor, known: Tensor) -> Tensor:
    """Return for each label another one that is surely a class, of those that are classes."""
    return (labels + 1) % max(int(labels[known].max()) + 1, 2)


def _matter(
    batch: Any, keys: BatchKeys, labels: tuple[Tensor, Tensor], step: StepLoss
) -> bool | None:
    """Return whether the loss, or its gradient, is another with other labels, if it is known."""
    place = keys.labels
    assert place is not None
    assert not callable(place)
    try:
        with grad_island():
            batch = map_tensors(batch, lambda one: ordinary(one).clone())
            losses = [step(with_leaf(batch, place, one)) for one in labels]
            if losses[0] is None or losses[1] is None:
                return None
            return _differ(losses[0].detach(), losses[1].detach()) or _gradients_differ(
                losses[0], losses[1], step.pl_module
            )
    except Exception:  # of a step that cannot be called so, nothing is known
        return None


def _gradients_differ(one: Tensor, other: Tensor, module: nn.Module) -> bool:
    """Return whether two losses have different gradients: equal logits cost the same.

    With logits that are all equal, as of a last layer that starts at zero, labels change no loss.
    """
    weights = [weight for weight in module.parameters() if weight.requires_grad]
    pair = [torch.autograd.grad(loss, weights, allow_unused=True) for loss in (one, other)]
    return any(
        (a is None) != (b is None) or (a is not None and b is not None and _differ(a, b))
        for a, b in zip(*pair, strict=True)
    )


def _differ(a: Tensor, b: Tensor) -> bool:
    scale = torch.maximum(a.abs().max(), b.abs().max())
    return not bool(((a - b).abs().max() <= _EQUAL * scale).all())
