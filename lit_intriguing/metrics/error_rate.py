"""The share of wrong predictions, as a function and as a metric."""

from typing import Any

import torch
from torch import Tensor

from lit_intriguing.argument_types import checked_arguments
from lit_intriguing.checks import check_whole
from lit_intriguing.metrics.base import NamedMetric


def _wrong(logits: Tensor, labels: Tensor, top: int = 1) -> Tensor:
    if logits.ndim != 2 or labels.shape != logits.shape[:1]:
        raise ValueError(
            f"logits must be (N, classes) and labels (N,), not {tuple(logits.shape)} and "
            f"{tuple(labels.shape)}"
        )
    if top > logits.shape[1]:
        raise ValueError(
            f"top is {top}, but the logits have {logits.shape[1]} classes: give a smaller top, or "
            "logits of more classes"
        )
    if top == 1:
        return (logits.argmax(1) != labels).sum()
    return (logits.topk(top, 1).indices != labels.unsqueeze(1)).all(1).sum()


def error_rate(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the share of examples whose largest logit is not at the label; NaN without any.

    Args:
        logits: Shape (N, classes).
        labels: Shape (N,).

    Returns:
        A scalar in [0, 1].

    Raises:
        ValueError: Other shapes, or no classes.

    Examples:
        >>> error_rate(torch.tensor([[2.0, 1.0], [0.0, 1.0]]), torch.tensor([0, 0]))
        tensor(0.5000)
    """
    return _wrong(logits, labels) / len(labels)


@checked_arguments
class ErrorRate(NamedMetric):
    """`error_rate` over batches and ranks, each example counted once.

    Args:
        top: The prediction is right if the label is among so many classes of the largest logits.
        keywords: Of `torchmetrics.Metric`, such as `sync_on_compute`.

    Raises:
        ValueError: For a `top` below 1; in `update`, logits that are not (N, classes), with at
            least `top` classes, or labels that are not (N,).

    Examples:
        >>> metric = ErrorRate()
        >>> metric.update(torch.tensor([[2.0, 1.0], [0.0, 1.0]]), torch.tensor([0, 0]))
        >>> metric.update(torch.tensor([[2.0, 1.0]]), torch.tensor([0]))
        >>> metric.compute()
        tensor(0.3333)
    """

    higher_is_better = False

    wrong: Tensor
    examples: Tensor

    def __init__(self, top: int = 1, **keywords: Any) -> None:
        super().__init__(**keywords)
        check_whole("ErrorRate", 1, top=top)
        self.top = top
        self.add_settings(int(top))
        self.add_state("wrong", torch.tensor(0), dist_reduce_fx="sum")
        self.add_state("examples", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, logits: Tensor, labels: Tensor) -> None:
        """Count a batch: logits (n, classes), labels (n,)."""
        self.wrong = self.wrong + _wrong(logits, labels, self.top)
        self.examples = self.examples + len(labels)

    def compute(self) -> Tensor:
        """Return the share of wrong predictions so far."""
        return self.wrong / self.examples
