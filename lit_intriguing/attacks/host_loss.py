"""The goal of hosts without class labels: a larger loss, the host's own."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from lit_intriguing.attacks.criterion import Criterion
from lit_intriguing.attacks.targets import Goal


@dataclass(frozen=True)
class HostLoss(Goal):
    """Toward a larger value of the loss that the host's `training_step` returns.

    The attack follows the gradient of that loss, whatever the step computes. Only its direction
    within an example is used: the loss's scale, its mean over the batch, weights of examples and
    accumulation multiply a whole example's gradient. There is no border that could be crossed, so
    attacks that search for one refuse this goal; gradient steps and noise do not.

    Args:
        fresh: Whether the step is called again on the present batch before it is trained on, in
            place of using the gradient of the step itself.
    """

    fresh: bool = False

    def __call__(self, labels: Tensor, logits: Tensor, generator: torch.Generator) -> Criterion:
        """Return the criterion of N examples; what the labels `(N,)` are does not matter."""
        return HigherLoss(labels)


class HigherLoss(Criterion):
    """The host's loss is to grow; no example ever counts as adversarial.

    The attacked function returns a column `(N, 1)`: minus each example's share of the loss, so that
    the column's sum is minus the loss.
    """

    has_border: ClassVar[bool] = False

    def check(self, logits: Tensor) -> None:
        """Take any column: there are no classes, and the labels mean nothing."""

    def met(self, logits: Tensor) -> Tensor:
        """Return False for each of N examples, `(N,)`."""
        return torch.zeros(len(logits), dtype=torch.bool, device=logits.device)

    def _met(self, predictions: Tensor) -> Tensor:
        return torch.zeros_like(predictions, dtype=torch.bool)

    def loss(self, logits: Tensor) -> Tensor:
        """Return the column `(N, 1)` as it is, `(N,)`."""
        return logits.squeeze(1)

    def margin(self, logits: Tensor) -> Tensor:
        """Return infinity: success is infinitely far, `(N,)`."""
        return torch.full_like(logits[:, 0], torch.inf)
