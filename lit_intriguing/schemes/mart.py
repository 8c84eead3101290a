"""MART: examples that are misclassified when clean count more."""

import torch
from torch import Tensor

from lit_intriguing.argument_types import checked_arguments
from lit_intriguing.attacks import Goal, TrueLabels
from lit_intriguing.attacks.divergence import divergence, log_probabilities
from lit_intriguing.schemes.scheme import Scheme, check_factor

_ROOM = 1e-4
"""By which the authors keep the logarithm of `1 - p` away from that of zero."""


@checked_arguments
class MART(Scheme):
    """Boosted cross-entropy and a weighted divergence (Wang et al. 2020, eq. 8 to 11).

    The host's step runs on the examples, so that a host whose loss is the mean cross-entropy gives
    that part of the paper's boosted cross-entropy. Added is the mean over examples of
    `-log(1 - max_{k != y} p_k(x')) + beta * KL(p(x) || p(x')) * (1 - p_y(x))`.

    Args:
        beta: Weight of the divergence, lambda in the paper; the authors take 5 or 6.

    Raises:
        ValueError: If `beta` is negative or not finite.
    """

    in_place = True
    uses_labels = True

    def __init__(self, beta: float = 5.0) -> None:
        check_factor("MART", beta=beta)
        self.beta = float(beta)

    def default_goal(self, classes: bool) -> Goal:
        """Return the true labels."""
        return TrueLabels()

    def added(self, clean: Tensor, perturbed: Tensor, labels: Tensor) -> Tensor:
        """Return what stands above, `()`; 0 for no examples."""
        column = labels.unsqueeze(1)
        true = log_probabilities(clean).exp().gather(1, column).squeeze(1)
        likely = log_probabilities(perturbed).exp()
        wrong = likely.scatter(1, column, -torch.inf).amax(1)
        margin = -torch.log(1 + _ROOM - wrong)
        each = margin + self.beta * divergence(clean, perturbed) * (1 - true)
        return each.sum() / max(1, len(each))
