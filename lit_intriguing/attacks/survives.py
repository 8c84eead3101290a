"""Examples that are still adversarial once they are stored in a few bits, as in a PNG file."""

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from lit_intriguing.attacks.base import Attack, Found
from lit_intriguing.attacks.criteria import Criterion
from lit_intriguing.attacks.sealed_model import Model, logits_of
from lit_intriguing.types import Bounds

_GROWTH, _MOST = 1.05, 8.0
"""The perturbation is multiplied by this factor again and again, up to so much."""


class Survives(Attack):
    """Rounds what an attack finds, and makes perturbations larger that rounding undoes.

    The nearest adversarial example is often less than one grey level away, and a picture file
    holds the clean image again. Each perturbation is multiplied by the least power of 1.05, at
    most 8, after which the rounded example meets the criterion.

    `info` holds `factor`: that power, NaN without success.

    Args:
        attack: Finds the perturbations.
        bits: Of a value, between the lower and the upper limit of the box, both included.

    Raises:
        ValueError: If there are less than 1 or more than 16 bits; in the call, if the box is
            infinite.
    """

    columns: ClassVar[Mapping[str, torch.dtype]] = {"factor": torch.float32}

    def __init__(self, attack: Attack, bits: int = 8) -> None:
        if not 1 <= bits <= 16:
            raise ValueError(f"Survives: bits must lie between 1 and 16, not {bits}.")
        self.attack, self.bits = attack, bits
        self.batch_size = attack.batch_size

    def search(
        self,
        model: Model,
        x: Tensor,
        criterion: Criterion,
        *,
        bounds: Bounds,
        generator: torch.Generator,
    ) -> Found:
        """Attack, round, and make larger what does not survive."""
        found = self.attack(model, x, criterion, bounds=bounds, generator=generator)
        rounded, factor = x.clone(), torch.full((len(x),), torch.nan, device=x.device)
        left, scale = found.success.nonzero().squeeze(1), 1.0
        while len(left) and scale <= _MOST:
            moved = torch.lerp(found.clean[left], found.adversarial[left], scale)
            moved = self._rounded(bounds.clamp(moved), bounds)
            met = self._met(model, moved, criterion, left)
            rounded[left[met]], factor[left[met]] = moved[met], scale
            left, scale = left[~met], scale * _GROWTH
        return Found(rounded, found.queries, {"factor": factor})

    def _met(self, model: Model, x: Tensor, criterion: Criterion, rows: Tensor) -> Tensor:
        """Return which examples `x` of the batch's `rows` meet the criterion: bool `(k,)`."""
        size = self.batch_size or len(rows)
        with torch.no_grad():
            parts = [
                criterion.select(part).met(logits_of(model, points, part))
                for points, part in zip(torch.split(x, size), torch.split(rows, size), strict=True)
            ]
        return torch.cat(parts)

    def _rounded(self, x: Tensor, bounds: Bounds) -> Tensor:
        """Return the nearest of the values that so many bits can tell apart."""
        lower, upper = bounds.tensors_like(x)
        if not bool(lower.isfinite().all() & upper.isfinite().all()):
            raise ValueError(
                "Survives: values between infinite limits have no bits; give finite bounds."
            )
        levels = 2**self.bits - 1
        # As a file is written and read: integers first.
        width = (upper - lower).clamp(min=torch.finfo(x.dtype).tiny)
        steps = (levels * (x - lower) / width).round()
        return torch.addcmul(lower, steps / levels, upper - lower)
