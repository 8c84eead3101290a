"""The direction in which a model's prediction changes most, by power iteration."""

import math
from typing import ClassVar

import torch
from torch import Tensor

from lit_intriguing.argument_types import checked_arguments
from lit_intriguing.attacks.base import Attack, Found, per_row
from lit_intriguing.attacks.criteria import Criterion
from lit_intriguing.attacks.gradient import descent_direction, has_direction, input_gradient
from lit_intriguing.attacks.sealed_model import Model
from lit_intriguing.checks import check_whole
from lit_intriguing.types import Bounds


@checked_arguments
class VirtualAdversarial(Attack):
    """Virtual adversarial perturbations (Miyato et al. 2018, section 3.3, algorithm 1).

    With the goal `LargerDivergence` the divergence has its minimum, 0, at the clean example; the
    perturbation follows the eigenvector of its Hessian with the largest eigenvalue. Each iteration
    multiplies a direction by the Hessian, by the gradient at a finite difference.

    Args:
        eps: Length of the perturbation in L2, in the units of the attacked tensor.
        xi: Length of the finite difference, likewise. In single precision the gradient's rounding
            is some 1e-7 / xi of it.
        iterations: Power iterations; the authors take one.

    Raises:
        ValueError: If `eps` or `xi` is not positive and finite, or `iterations` is less than 1.
    """

    needs_border: ClassVar[bool] = False

    def __init__(self, eps: float, xi: float = 1e-3, iterations: int = 1) -> None:
        for name, length in (("eps", eps), ("xi", xi)):
            if not 0 < length < math.inf:
                raise ValueError(
                    f"VirtualAdversarial: {name} must be positive and finite: {length}."
                )
        check_whole("VirtualAdversarial", 1, iterations=iterations)
        self.eps, self.xi, self.iterations = float(eps), float(xi), iterations

    def search(
        self,
        model: Model,
        x: Tensor,
        criterion: Criterion,
        *,
        bounds: Bounds,
        generator: torch.Generator,
    ) -> Found:
        """Iterate from a random direction, which stays where there is no gradient."""
        noise = torch.randn(x.shape, generator=generator).to(x)
        direction = -descent_direction(noise, 2)
        for _ in range(self.iterations):
            gradient = input_gradient(model, x + self.xi * direction, criterion)
            new = descent_direction(gradient, 2)
            direction = torch.where(per_row(has_direction(gradient), x), new, direction)
        queries = torch.full((len(x),), self.iterations, dtype=torch.int64, device=x.device)
        return Found(bounds.clamp(x + self.eps * direction), queries)
