"""Goals: which label each example is to get: random, the second likeliest, one for all, or any."""

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from lit_intriguing.argument_types import checked_arguments
from lit_intriguing.attacks.criterion import Criterion, Targeted, Untargeted


class Goal(ABC):
    """Sets a criterion for a batch, given the true labels and the clean logits.

    Attributes:
        flat_at_clean: Whether the criterion's loss has no gradient at the clean example.
    """

    flat_at_clean: ClassVar[bool] = False

    @abstractmethod
    def __call__(self, labels: Tensor, logits: Tensor, generator: torch.Generator) -> Criterion:
        """Return the criterion.

        Args:
            labels: True labels, int `(N,)`.
            logits: Clean logits, `(N, C)`.
            generator: Source of randomness, on the CPU.
        """

    def left_out(self, labels: Tensor, predictions: Tensor) -> Tensor:
        """Return which examples `lightning attack` and callbacks leave as they are: bool `(N,)`.

        Args:
            labels: True labels, int `(N,)`.
            predictions: Of the clean examples, int `(N,)`.
        """
        return torch.zeros_like(labels, dtype=torch.bool)

    def __repr__(self) -> str:
        options = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"{type(self).__name__}({options})"

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash(type(self))


class RandomTargets(Goal):
    """Toward a wrong label, each equally likely: the paper's choice for its figures and tables."""

    def __call__(self, labels: Tensor, logits: Tensor, generator: torch.Generator) -> Criterion:
        """Draw a wrong label for each example."""
        classes = _at_least_two_classes(logits)
        shift = torch.randint(1, classes, labels.shape, generator=generator).to(labels.device)
        return Targeted((labels + shift) % classes)


class SecondLikeliest(Goal):
    """Toward the likeliest wrong label."""

    def __call__(self, labels: Tensor, logits: Tensor, generator: torch.Generator) -> Criterion:
        """Take the wrong label with the largest logit."""
        _at_least_two_classes(logits)
        wrong = logits.detach().scatter(1, labels.unsqueeze(1).long(), -torch.inf)
        return Targeted(wrong.argmax(1))


@checked_arguments
class TargetClass(Goal):
    """Toward one class, the same for all: in the paper's figure 5 "ostrich", ImageNet's class 9.

    Examples of that class, and those that are taken for it as they are, are left out.

    Args:
        label: The class.

    Raises:
        ValueError: If it is negative, or, with an attack, if the model has no such class.
    """

    def __init__(self, label: int) -> None:
        if label < 0:
            raise ValueError(f"TargetClass: a class is counted from 0; label is {label}.")
        self.label = label

    def __call__(self, labels: Tensor, logits: Tensor, generator: torch.Generator) -> Criterion:
        """Take the same label for each example."""
        classes = _at_least_two_classes(logits)
        if self.label >= classes:
            raise ValueError(
                f"TargetClass: the model has {classes} classes, 0 to {classes - 1}; label is "
                f"{self.label}."
            )
        return Targeted(torch.full_like(labels, self.label))

    def left_out(self, labels: Tensor, predictions: Tensor) -> Tensor:
        """Return which examples are of the class, or taken for it: bool `(N,)`."""
        return (labels == self.label) | (predictions == self.label)


class TrueLabels(Goal):
    """Away from the true label, wherever that leads."""

    def __call__(self, labels: Tensor, logits: Tensor, generator: torch.Generator) -> Criterion:
        """Take the true labels as what to leave."""
        return Untargeted(labels)


def _at_least_two_classes(logits: Tensor) -> int:
    if logits.shape[1] < 2:
        raise ValueError("A wrong label needs at least two classes; the logits have one column.")
    return logits.shape[1]
