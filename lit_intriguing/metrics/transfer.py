"""How often examples made for one model fool others, as a function and as a metric."""

from typing import Any

import torch
from torch import Tensor

from lit_intriguing.argument_types import checked_arguments
from lit_intriguing.metrics.base import NamedMetric


def _counts(predictions: Tensor, labels: Tensor, counted: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return how many predictions are wrong and how many count, both `(S, M)`."""
    if predictions.ndim != 3 or labels.shape != predictions.shape[2:]:
        raise ValueError(
            "answers must be (sets, models, N) and labels (N,), not "
            f"{tuple(predictions.shape)} and {tuple(labels.shape)}"
        )
    if counted is None:
        counted = torch.ones_like(predictions, dtype=torch.bool)
    if counted.ndim != 3 or counted.dtype != torch.bool:
        raise ValueError(
            "counted must be bool of shape (sets, models, N), each size the same or 1, not "
            f"{counted.dtype} of shape {tuple(counted.shape)}"
        )
    counted = counted.expand_as(predictions)
    return ((predictions != labels) & counted).sum(2), counted.sum(2)


def transfer_rates(answers: Tensor, labels: Tensor, counted: Tensor | None = None) -> Tensor:
    """Return the share of wrong predictions of each of M models on each of S sets of examples.

    Szegedy et al. 2013, tables 2 and 4: there the examples of set s were made for model s, and a
    prediction is wrong that is not the true label, wherever the attack aimed.

    Args:
        answers: Predicted class of each example of each set by each model, integers (S, M, N).
        labels: True labels, (N,).
        counted: Bool, of a shape that broadcasts to (S, M, N): which examples count, such as
            the successes of each set (S, 1, N), or those that a model classifies correctly when
            clean (1, M, N). All, where None.

    Returns:
        Rates in [0, 1], shape (S, M); NaN where no example counts.

    Raises:
        ValueError: Other shapes, or a `counted` that is not bool.

    Examples:
        >>> answers = torch.tensor([[[1, 1, 0], [0, 0, 0]]])  # one set, two models, three examples
        >>> transfer_rates(answers, torch.tensor([0, 0, 0]))
        tensor([[0.6667, 0.0000]])
        >>> transfer_rates(answers, torch.tensor([0, 0, 0]), torch.tensor([[[True, True, False]]]))
        tensor([[1., 0.]])
    """
    wrong, examples = _counts(answers, labels, counted)
    return wrong / examples


@checked_arguments
class TransferRates(NamedMetric):
    """`transfer_rates` over batches and ranks, each example counted once.

    Args:
        sets: Number of sets of examples, S.
        models: Number of models, M.
        keywords: Of `torchmetrics.Metric`, such as `sync_on_compute`.

    Raises:
        ValueError: Fewer than one set or model; in `update`, what `transfer_rates` refuses, or
            another number of sets or models.

    Examples:
        >>> metric = TransferRates(sets=1, models=2)
        >>> metric.update(torch.tensor([[[1, 1], [0, 0]]]), torch.tensor([0, 0]))
        >>> metric.update(torch.tensor([[[0, 0], [0, 1]]]), torch.tensor([0, 0]))
        >>> metric.compute()
        tensor([[0.5000, 0.2500]])
    """

    wrong: Tensor
    examples: Tensor

    def __init__(self, sets: int, models: int, **keywords: Any) -> None:
        super().__init__(**keywords)
        if min(sets, models) < 1:
            raise ValueError(f"sets and models must be at least 1, not {sets} and {models}")
        for name in ("wrong", "examples"):
            self.add_state(name, torch.zeros(sets, models, dtype=torch.int64), dist_reduce_fx="sum")

    def element_names(self) -> list[str]:
        """Return the set and model of each rate."""
        sets, models = self.wrong.shape
        return [f"set {s}, model {m}" for s in range(sets) for m in range(models)]

    def update(self, answers: Tensor, labels: Tensor, counted: Tensor | None = None) -> None:
        """Count a batch; arguments as for `transfer_rates`."""
        wrong, examples = _counts(answers, labels, counted)
        if wrong.shape != self.wrong.shape:
            raise ValueError(
                f"answers of {' sets and '.join(map(str, wrong.shape))} models, expected "
                f"{' and '.join(map(str, self.wrong.shape))}"
            )
        self.wrong = self.wrong + wrong
        self.examples = self.examples + examples

    def compute(self) -> Tensor:
        """Return the rates so far, (S, M); NaN where no example counted."""
        return self.wrong / self.examples
