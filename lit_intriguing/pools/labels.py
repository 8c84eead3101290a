"""Labels of any integer type as classes of the model, and labels that are no class."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from lit_intriguing.errors import UserError


def is_class(labels: Tensor, logits: Tensor) -> Tensor:
    """Return which labels, int64 `(N,)`, are columns of the logits, `(N, C)`: bool `(N,)`."""
    return (labels >= 0) & (labels < logits.shape[1])


def classes_of(labels: Tensor, logits: Tensor) -> Tensor:
    """Return the class of each example, int64 `(N,)`: its label, of any integer type.

    Where a label is no class, such as one that the host's loss ignores (`ignore_index`), the class
    is the prediction.
    """
    labels = labels.long()
    return torch.where(is_class(labels, logits), labels, logits.argmax(1))


def check_labels(labels: Tensor, columns: int) -> None:
    """Refuse labels that cannot be meant for this model; it waits for the device.

    Args:
        labels: Integers `(N,)`, N at least 1.
        columns: Logits of each example, as the model gives them.

    Raises:
        UserError: For labels above 1 beside one logit, or where no label is a class.
    """
    most = int(labels.long().max())
    if columns == 1 and most > 1:
        raise UserError(
            f"One logit for each example tells label 1 from label 0, but the labels go up to "
            f"{most}: let the model give a logit for each of the {most + 1} classes, or name "
            "labels of 0 and 1 by labels=<key or position>."
        )
    if columns > 1 and int(labels.long().min()) >= columns:
        raise UserError(
            f"No label of the batch is one of the model's {columns} classes, 0 to {columns - 1}: "
            f"they go up to {most}. Name the right ones by labels=<key or position>."
        )


class MeanCrossEntropy(nn.Module):
    """The mean cross-entropy over the examples whose label is a class; 0 if there is none."""

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the mean, `()`, for logits `(N, C)` and labels int64 `(N,)`."""
        known = is_class(labels, logits)
        labels = torch.where(known, labels, -1)
        total = F.cross_entropy(logits, labels, reduction="sum", ignore_index=-1)
        return total / known.sum().clamp(min=1)
