"""What a training step does with a batch and the examples made of the whole of it."""

import math
from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor

from lit_intriguing.attacks import Goal, HostLoss, TrueLabels


class Scheme(ABC):
    """A published way of adversarial training, for `AdversarialTraining(scheme=...)`.

    In each step the attack makes an example of each input of the batch. There are no pools.

    Attributes:
        in_place: Whether the host's step gets the examples in the place of the batch.
        adds: Whether something of the logits is added to the host's loss.
        uses_labels: Whether what is added depends on labels; rows without a class are then left
            out of it.
    """

    in_place: ClassVar[bool] = False
    adds: ClassVar[bool] = True
    uses_labels: ClassVar[bool] = False

    @abstractmethod
    def default_goal(self, classes: bool) -> Goal:
        """Return what examples are made toward where the user does not say.

        Args:
            classes: Whether the host has class labels and logits.
        """

    @abstractmethod
    def added(self, clean: Tensor, perturbed: Tensor, labels: Tensor) -> Tensor:
        """Return what is added to the host's loss, `()`.

        Args:
            clean: Logits of the batch, `(N, C)`, with their graph.
            perturbed: Logits of the examples, likewise.
            labels: Classes, int64 `(N,)`; anything where the scheme does not use them.
        """

    def __repr__(self) -> str:
        options = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"{type(self).__name__}({options})"


class ExamplesAlone(Scheme):
    """The host's step on the examples, in the place of the batch (Madry et al. 2018, eq. 2.1).

    With `GradientAttack(eps, norm="inf", steps=7, random_start=True)` it is the training of Madry
    et al., with one step of 1.25 eps from a random start that of Wong et al. 2020. Examples are
    led away from their labels; without class labels and logits, to a larger loss of the host.
    """

    in_place: ClassVar[bool] = True
    adds: ClassVar[bool] = False

    def default_goal(self, classes: bool) -> Goal:
        """Return the true labels, or the host's loss."""
        return TrueLabels() if classes else HostLoss(fresh=True)

    def added(self, clean: Tensor, perturbed: Tensor, labels: Tensor) -> Tensor:
        """Return zero, `()`."""
        return clean.new_zeros(())


def check_factor(owner: str, **values: float) -> None:
    """Refuse factors that are negative or not finite.

    Raises:
        ValueError: With the argument's name.
    """
    for name, value in values.items():
        if not 0 <= value < math.inf:
            raise ValueError(f"{owner}: {name} must be finite and at least 0, not {value}.")
