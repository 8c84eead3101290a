"""Away from the model's own prediction: a larger divergence between two class distributions."""

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from lit_intriguing.attacks.criterion import Criterion, lead
from lit_intriguing.attacks.targets import Goal


class LargerDivergence(Goal):
    """Away from what the model says of the clean example, whatever its label.

    The inner maximisation of TRADES (Zhang et al. 2019, eq. 3) and of virtual adversarial training
    (Miyato et al. 2018, eq. 5). At the clean example its gradient is zero: the attack has to start
    beside it, as `GradientAttack` does with `random_start` or `start_stddev`.
    """

    flat_at_clean: ClassVar[bool] = True

    def __call__(self, labels: Tensor, logits: Tensor, generator: torch.Generator) -> Criterion:
        """Take the clean logits `(N, C)` as what to leave."""
        return Diverged(logits)


class Diverged(Criterion):
    """The prediction is to become another than that of some logits.

    The loss is minus the divergence from their distribution, in nats.

    Args:
        clean: Logits of the clean examples, `(N, C)`.
    """

    def __init__(self, clean: Tensor) -> None:
        super().__init__(clean.argmax(1))
        self.clean = clean.detach()

    def _met(self, predictions: Tensor) -> Tensor:
        return predictions != self.labels

    def loss(self, logits: Tensor) -> Tensor:
        """Return minus `KL(clean || logits)`, `(N,)`."""
        return -divergence(self.clean.to(logits), logits)

    def margin(self, logits: Tensor) -> Tensor:
        """Return the clean prediction's logit minus the largest other one, `(N,)`."""
        return lead(logits, self.labels)

    def select(self, rows: Tensor) -> Criterion:
        """Return the same criterion for some of the examples (an index or a mask)."""
        return Diverged(self.clean[rows])


def divergence(clean: Tensor, perturbed: Tensor) -> Tensor:
    """Return the Kullback-Leibler divergence `KL(p || q)` of each example in nats, `(N,)`.

    Args:
        clean: Logits of p, `(N, C)`.
        perturbed: Logits of q, likewise.
    """
    p, q = (log_probabilities(one) for one in (clean, perturbed))
    return F.kl_div(q, p, reduction="none", log_target=True).sum(1)


def log_probabilities(logits: Tensor) -> Tensor:
    """Return logarithms of the classes' probabilities, in single precision at least: `(N, C)`."""
    return F.log_softmax(logits if logits.dtype == torch.float64 else logits.float(), dim=1)
