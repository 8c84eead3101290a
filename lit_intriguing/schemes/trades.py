"""TRADES: the clean loss, and how far the examples' predictions are from the clean ones."""

from torch import Tensor

from lit_intriguing.argument_types import checked_arguments
from lit_intriguing.attacks import Goal
from lit_intriguing.attacks.divergence import LargerDivergence, divergence
from lit_intriguing.schemes.scheme import Scheme, check_factor


@checked_arguments
class TRADES(Scheme):
    """The host's loss on the batch plus `beta * mean KL(p(x) || p(x'))` (Zhang et al. 2019, eq. 5).

    The gradient goes through both distributions. Examples are led away from the clean prediction;
    the authors start at Gaussian noise of 0.001: `GradientAttack(..., start_stddev=0.001)`.

    Args:
        beta: Weight of the divergence, 1 / lambda in the paper; the authors take 6 for CIFAR-10, 1
            for MNIST.

    Raises:
        ValueError: If `beta` is negative or not finite.
    """

    def __init__(self, beta: float = 6.0) -> None:
        check_factor("TRADES", beta=beta)
        self.beta = float(beta)

    def default_goal(self, classes: bool) -> Goal:
        """Return the divergence."""
        return LargerDivergence()

    def added(self, clean: Tensor, perturbed: Tensor, labels: Tensor) -> Tensor:
        """Return `beta * mean KL(clean || perturbed)`, `()`."""
        return self.beta * divergence(clean, perturbed).mean()
