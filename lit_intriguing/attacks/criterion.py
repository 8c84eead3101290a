"""A criterion: when an example counts as adversarial, and the loss that leads there."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from lit_intriguing.autograd import ordinary

Labels = Tensor | Sequence[int] | NDArray[np.integer[Any]]
"""Labels of N examples: a tensor, a list or an array of integers."""


class Criterion(ABC):
    """What an attack wants of the logits of N examples.

    Args:
        labels: `(N,)`, integers.

    Raises:
        ValueError: If they are no integers of that shape.

    Attributes:
        has_border: Whether an example can meet it, so that there is a nearest one that does.
    """

    has_border: ClassVar[bool] = True

    def __init__(self, labels: Labels) -> None:
        labels = _as_tensor(labels)
        if labels.ndim != 1 or labels.is_floating_point() or labels.is_complex():
            raise ValueError(
                "A criterion needs integer labels of shape (N,), not "
                f"{labels.dtype} of shape {tuple(labels.shape)}."
            )
        with torch.inference_mode(False):  # so that a copy is ordinary
            self.labels = ordinary(labels).long()

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self)} labels)"

    def check(self, logits: Tensor) -> None:
        """Raise if these logits, `(n, C)`, cannot be those of a model with these labels.

        Raises:
            ValueError: If there is one column, or a label is not one of the C classes.
        """
        classes = logits.shape[1]
        if classes < 2:
            raise ValueError(
                "The model returns one column of logits, for which no label is wrong: stack two, "
                "torch.cat([-z, z], 1), so that label 1 means z > 0."
            )
        if not len(self.labels):
            return
        least, most = (int(label) for label in self.labels.aminmax())
        if least < 0 or most >= classes:
            raise ValueError(
                f"Labels must lie between 0 and {classes - 1}, since the logits have {classes} "
                f"columns; they go from {least} to {most}. Leave out examples without a label."
            )

    def met(self, logits: Tensor) -> Tensor:
        """Return for which examples `logits`, `(N, C)`, are as wanted: bool `(N,)`.

        An example with a NaN or an infinite logit never counts.
        """
        return self._met(logits.argmax(1)) & logits.isfinite().all(1)

    @abstractmethod
    def _met(self, predictions: Tensor) -> Tensor: ...

    @abstractmethod
    def loss(self, logits: Tensor) -> Tensor:
        """Return the loss to decrease for each example with `logits` `(N, C)`: `(N,)`."""

    @abstractmethod
    def margin(self, logits: Tensor) -> Tensor:
        """Return how far each example with `logits` `(N, C)` is from success: `(N,)`.

        In units of the logits; negative only where the criterion is met.
        """

    def select(self, rows: Tensor) -> "Criterion":
        """Return the same criterion for some of the examples (an index or a mask)."""
        return type(self)(self.labels[rows])


def _as_tensor(labels: Labels) -> Tensor:
    if isinstance(labels, Tensor):
        return labels
    try:
        # A list without elements has no type of its own.
        return torch.as_tensor(labels, dtype=None if len(labels) else torch.int64)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"A criterion needs integer labels of shape (N,), not {type(labels).__name__}: {error}"
        ) from error


class Targeted(Criterion):
    """The prediction is to become `labels`, int `(N,)`.

    The loss is the cross-entropy to the target (Szegedy et al. 2013, section 4.1).
    """

    def _met(self, predictions: Tensor) -> Tensor:
        return predictions == self.labels

    def loss(self, logits: Tensor) -> Tensor:
        """Return the cross-entropy to the target, `(N,)`."""
        return F.cross_entropy(logits, self.labels, reduction="none")

    def margin(self, logits: Tensor) -> Tensor:
        """Return the largest other logit minus the target's, `(N,)`."""
        return lead(logits, self.labels).neg()


class Untargeted(Criterion):
    """The prediction is to become anything but `labels`, int `(N,)`.

    The loss is minus the cross-entropy to the true label.
    """

    def _met(self, predictions: Tensor) -> Tensor:
        return predictions != self.labels

    def loss(self, logits: Tensor) -> Tensor:
        """Return minus the cross-entropy to the true label, `(N,)`."""
        return -F.cross_entropy(logits, self.labels, reduction="none")

    def margin(self, logits: Tensor) -> Tensor:
        """Return the true label's logit minus the largest other one, `(N,)`."""
        return lead(logits, self.labels)


def lead(logits: Tensor, labels: Tensor) -> Tensor:
    """Return by how much each label's logit leads the largest other one, `(N,)`.

    Args:
        logits: `(N, C)`.
        labels: int64 `(N,)`.
    """
    column = labels.unsqueeze(1)
    others = logits.scatter(1, column, -torch.inf)
    return logits.gather(1, column).squeeze(1) - others.amax(1)
