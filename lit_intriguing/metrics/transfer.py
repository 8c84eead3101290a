"""How often examples made for one model fool others, as a function and as a metric."""

import torch
from torch import Tensor
from torchmetrics import Metric


def _counts(answers: Tensor, labels: Tensor, counted: Tensor | None) -> tuple[Tensor, Tensor]:
    """Wrong and counted rows of each pair, both `(S, M)`."""
    if answers.ndim != 3 or labels.shape != answers.shape[2:]:
        raise ValueError(
            f"answers must be (sets, models, N) and labels (N,), not {tuple(answers.shape)} and "
            f"{tuple(labels.shape)}"
        )
    if counted is None:
        counted = torch.ones_like(answers, dtype=torch.bool)
    if counted.ndim != 3 or counted.dtype != torch.bool:
        raise ValueError(
            "counted must be bool of shape (sets, models, N), each size the same or 1, not "
            f"{counted.dtype} of shape {tuple(counted.shape)}"
        )
    counted = counted.expand_as(answers)
    return ((answers != labels) & counted).sum(2), counted.sum(2)


def transfer_rates(answers: Tensor, labels: Tensor, counted: Tensor | None = None) -> Tensor:
    """The share of wrong answers of each of M models on each of S sets of examples.

    Szegedy et al. 2013, tables 2 and 4: there the examples of set s were made for model s, and an
    answer is wrong that is not the true label, wherever the attack aimed.

    Args:
        answers: class that each model sees in each row of each set, integers (S, M, N).
        labels: true labels, (N,).
        counted: bool, of a shape that broadcasts to (S, M, N): which rows count, such as
            the successes of each set (S, 1, N), or rows that a model reads rightly when clean
            (1, M, N). All, where None.

    Returns:
        Rates in [0, 1], shape (S, M); NaN where no row counts.

    Raises:
        ValueError: other shapes, or a `counted` that is not bool.

    Example:
        >>> answers = torch.tensor([[[1, 1, 0], [0, 0, 0]]])  # one set, two models, three rows
        >>> transfer_rates(answers, torch.tensor([0, 0, 0]))
        tensor([[0.6667, 0.0000]])
        >>> transfer_rates(answers, torch.tensor([0, 0, 0]), torch.tensor([[[True, True, False]]]))
        tensor([[1., 0.]])
    """
    wrong, rows = _counts(answers, labels, counted)
    return wrong / rows


class TransferRates(Metric):
    """`transfer_rates` over batches and ranks, each row counted once.

    Args:
        sets: number of sets of examples, S.
        models: number of models, M.

    Raises:
        ValueError: fewer than one set or model; in `update`, what `transfer_rates` refuses, or
            another number of sets or models.

    Example:
        >>> metric = TransferRates(sets=1, models=2)
        >>> metric.update(torch.tensor([[[1, 1], [0, 0]]]), torch.tensor([0, 0]))
        >>> metric.update(torch.tensor([[[0, 0], [0, 1]]]), torch.tensor([0, 0]))
        >>> metric.compute()
        tensor([[0.5000, 0.2500]])
    """

    full_state_update = False
    is_differentiable = False

    wrong: Tensor
    rows: Tensor

    def __init__(self, sets: int, models: int) -> None:
        super().__init__()
        if min(sets, models) < 1:
            raise ValueError(f"sets and models must be at least 1, not {sets} and {models}")
        for name in ("wrong", "rows"):
            self.add_state(name, torch.zeros(sets, models, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, answers: Tensor, labels: Tensor, counted: Tensor | None = None) -> None:
        """Count a batch; arguments as for `transfer_rates`."""
        wrong, rows = _counts(answers, labels, counted)
        if wrong.shape != self.wrong.shape:
            raise ValueError(
                f"answers of {' sets and '.join(map(str, wrong.shape))} models, expected "
                f"{' and '.join(map(str, self.wrong.shape))}"
            )
        self.wrong += wrong
        self.rows += rows

    def compute(self) -> Tensor:
        """The rates so far, (S, M); NaN where no row counted."""
        return self.wrong / self.rows
