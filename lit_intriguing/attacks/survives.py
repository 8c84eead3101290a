"""Examples that are still adversarial once they are stored in a few bits, as in a PNG file."""

import functools
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from lit_intriguing.argument_types import checked_arguments
from lit_intriguing.attacks.base import Attack, Found, per_row
from lit_intriguing.attacks.criteria import Criterion
from lit_intriguing.attacks.gradient import descent_direction, input_gradient
from lit_intriguing.attacks.sealed_model import Model, logits_of
from lit_intriguing.types import Bounds, Perturbation

_GROWTH, _MOST = 1.05, 8.0
"""The perturbation is multiplied by this factor again and again, up to so much."""

_STEPS, _STEP = 40, 0.25
"""Gradient steps where that does not help, and the length of one over the perturbation's."""


@checked_arguments
class Survives(Attack):
    """Rounds what an attack finds, and makes perturbations larger that rounding undoes.

    The nearest adversarial example is often less than one grey level away, and a picture file
    holds the clean image again. Each perturbation is multiplied by the least power of 1.05, at
    most 8, after which the rounded example meets the criterion. Where none does, since the line
    leads on into another class, gradient steps on the criterion's loss go from the example into
    the region, until the rounded point is inside.

    `info` holds `factor`: that power, or the ratio of the lengths after gradient steps; NaN without
    success.

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
        queries = found.queries.clone()
        if len(left):
            points, met, steps = self._inside(model, found, criterion, left, bounds)
            clean, before = found.clean[left], found.adversarial[left]
            ratios = _lengths(points, clean) / _lengths(before, clean)
            rounded[left[met]], factor[left[met]] = points[met], ratios[met]
            queries[left] += steps
        return Found(rounded, queries, {"factor": factor})

    def _inside(
        self,
        model: Model,
        found: Perturbation,
        criterion: Criterion,
        rows: Tensor,
        bounds: Bounds,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Go on by gradient steps until the rounded points are inside.

        Returns:
            Rounded points `(k, *S)` of the `rows`, which of them meet the criterion, `(k,)`, and
            how many steps were taken, `(k,)`.
        """
        current = found.adversarial[rows].clone()
        points, length = current.clone(), _STEP * _lengths(current, found.clean[rows])
        met, steps = torch.zeros_like(rows, dtype=torch.bool), torch.zeros_like(rows)
        for _ in range(_STEPS):
            (left,) = (~met).nonzero(as_tuple=True)
            if not len(left):
                break
            part, now = criterion.select(rows[left]), rows[left]
            asked = functools.partial(logits_of, model, rows=now)
            direction = descent_direction(input_gradient(asked, current[left], part), 2)
            moved = bounds.clamp(current[left] + per_row(length[left], direction) * direction)
            current[left], points[left] = moved, self._rounded(moved, bounds)
            met[left] = self._met(model, points[left], criterion, now)
            steps[left] += 1
        return points, met, steps

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


def _lengths(x: Tensor, clean: Tensor) -> Tensor:
    lengths: Tensor = torch.linalg.vector_norm((x - clean).flatten(1), dim=1)
    return lengths
