"""Virtual adversarial training: predictions that stay the same near each example."""

from torch import Tensor

from lit_intriguing.argument_types import checked_arguments
from lit_intriguing.attacks import Goal
from lit_intriguing.attacks.divergence import LargerDivergence, divergence
from lit_intriguing.schemes.scheme import Scheme, check_factor


@checked_arguments
class VAT(Scheme):
    """The host's loss on the batch plus `alpha * mean KL(p(x) || p(x + r))` (Miyato et al. 2018).

    The local distributional smoothness of equations 5 to 8: p(x) is a constant, so that the
    gradient goes through the perturbed prediction alone. No labels are used. The authors make r
    by `VirtualAdversarial(eps)`.

    Args:
        alpha: Weight of the divergence; the authors take 1.

    Raises:
        ValueError: If `alpha` is negative or not finite.
    """

    def __init__(self, alpha: float = 1.0) -> None:
        check_factor("VAT", alpha=alpha)
        self.alpha = float(alpha)

    def default_goal(self, classes: bool) -> Goal:
        """Return the divergence."""
        return LargerDivergence()

    def added(self, clean: Tensor, perturbed: Tensor, labels: Tensor) -> Tensor:
        """Return `alpha * mean KL(clean || perturbed)`, `()`, without a gradient by `clean`."""
        return self.alpha * divergence(clean.detach(), perturbed).mean()
