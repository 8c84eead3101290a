"""Whether a host has class labels and logits, or only a loss."""

from collections.abc import Callable
from typing import Any

import torch
from lightning.fabric.utilities.apply_func import apply_to_collection
from torch import Tensor, nn

from lit_intriguing.autograd import grad_island, ordinary, preserved
from lit_intriguing.errors import UserError
from lit_intriguing.hosts.batch import BatchKeys
from lit_intriguing.hosts.paths import with_leaf
from lit_intriguing.hosts.step_loss import StepLoss

_EQUAL = 1e-6
"""Relative difference of losses and gradients that is rounding."""


def why_no_classes(
    batch: Any,
    keys: BatchKeys,
    model: Callable[[], nn.Module],
    step: StepLoss,
    strict: bool = False,
) -> str | None:
    """Return why a host has no class labels and logits; None if it has.

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
        return f"no logits were found: {error}"
    if logits.ndim != 2:
        return f"the model's output, of shape {tuple(logits.shape)}, is no logits (N, C)"
    known = labels.long()
    known = known[(known >= 0) & (known < logits.shape[1])]
    if not len(known) or (len(known) < len(labels) and logits.shape[1] == 2 and _is_far(labels)):
        return f"the labels go up to {int(labels.max())}, for {logits.shape[1]} classes"
    if not callable(keys.labels) and not _matter(batch, keys, labels, step):
        return "the loss does not depend on the labels"
    return None


def _is_far(labels: Tensor) -> bool:
    """Return whether labels go beyond 0 and 1, not counting what losses ignore."""
    return bool(((labels.long() > 1) & (labels.long() != 255)).any())


def _matter(batch: Any, keys: BatchKeys, labels: Tensor, step: StepLoss) -> bool:
    """Return whether the loss, or its gradient, is another with other labels."""
    known = labels.long() >= 0
    most = int(labels.max()) + 1
    other = torch.where(known, (labels.long() + 1) % max(most, 2), labels.long()).to(labels.dtype)
    try:
        with grad_island():
            batch = apply_to_collection(batch, Tensor, lambda one: ordinary(one).clone())
            losses = [step(with_leaf(batch, keys.labels, one)) for one in (labels, other)]  # type: ignore[arg-type]
            if losses[0] is None or losses[1] is None:
                return True
            return _differ(losses[0].detach(), losses[1].detach()) or _gradients_differ(
                losses[0], losses[1], step.pl_module
            )
    except Exception:  # of a step that cannot be called so, nothing is known
        return True


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
