"""Goals: which label each example is to get. Random targets, the second likeliest, or any other."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from lit_intriguing.attacks.criterion import Criterion, Targeted, Untargeted


class Goal(ABC):
    """Sets a criterion for a batch, given the true labels and the clean logits."""

    @abstractmethod
    def __call__(self, labels: Tensor, logits: Tensor, generator: torch.Generator) -> Criterion:
        """Return the criterion.

        Args:
            labels: True labels, int `(N,)`.
            logits: Clean logits, `(N, C)`.
            generator: Source of randomness, on the CPU.
        """

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


class TrueLabels(Goal):
    """Away from the true label, wherever that leads."""

    def __call__(self, labels: Tensor, logits: Tensor, generator: torch.Generator) -> Criterion:
        """Take the true labels as what to leave."""
        return Untargeted(labels)


def _at_least_two_classes(logits: Tensor) -> int:
    if logits.shape[1] < 2:
        raise ValueError("A wrong label needs at least two classes; the logits have one column.")
    return logits.shape[1]
