"""Gaussian noise: the control that every adversarial example is compared with."""

from typing import ClassVar

import torch
from torch import Tensor

from lit_intriguing.argument_types import checked_arguments
from lit_intriguing.attacks.base import Attack, Found
from lit_intriguing.attacks.criteria import Criterion
from lit_intriguing.attacks.sealed_model import Model
from lit_intriguing.types import Bounds


@checked_arguments
class GaussianNoise(Attack):
    """Adds independent Gaussian noise (Szegedy et al. 2013, tables 2 and 4, figure 7).

    Args:
        stddev: Standard deviation for each element, in the units of the attacked tensor; without
            bounds it is also the expected distortion.

    Raises:
        ValueError: If `stddev` is negative or not finite.
    """

    needs_border: ClassVar[bool] = False

    def __init__(self, stddev: float) -> None:
        if not 0 <= stddev < float("inf"):
            raise ValueError(f"GaussianNoise: stddev must be finite and at least 0: {stddev}.")
        self.stddev = float(stddev)

    def search(
        self,
        model: Model,
        x: Tensor,
        criterion: Criterion,
        *,
        bounds: Bounds,
        generator: torch.Generator,
    ) -> Found:
        """Draw the noise; the model is not asked."""
        noise = torch.randn(x.shape, generator=generator).to(x) * self.stddev
        return Found(x + noise, torch.zeros(len(x), dtype=torch.int64, device=x.device))
