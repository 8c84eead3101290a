"""Power iteration that follows the norm of a layer while its weights change."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.linalg import vector_norm

from lit_intriguing.lipschitz.linear_map import LinearMap, linear_map
from lit_intriguing.lipschitz.registry import Shape


class PowerIteration:
    """The direction in which a linear layer stretches most, as far as it has been found.

    Weights change little from step to step of a training, so the direction found before is a good
    one to start from, and a step once in a while follows the norm. What it gives are estimates,
    not above the norm but for rounding, and no bounds.

    It computes in the weights' own type, at least float32, with autocast switched off.

    Args:
        input_shape: Of one example, without the batch dimension; a `Linear` does without.
        seed: Of the first direction, drawn on the CPU by a generator of its own.
    """

    def __init__(self, input_shape: Shape | None = None, seed: int = 0) -> None:
        self.input_shape, self.seed = input_shape, seed
        self.vector: Tensor | None = None

    def step(self, layer: nn.Module, steps: int = 1, scale: Tensor | None = None) -> Tensor:
        """Improve the direction; a step costs one application of the layer and one of its adjoint.

        Args:
            layer: A layer that `linear_map` takes, with its weights as they are now.
            steps: How many.
            scale: Factor on each output channel, `(C,)`, of a BatchNorm behind the layer.

        Returns:
            The estimate `||T* T v|| / ||T v||` of the last step, `()`, detached; 0 where the
            layer annihilates v, infinite or NaN where its weights are too large or not finite.

        Raises:
            CannotBoundError: For a layer that is no linear map.
            ValueError: For a layer that does not take the shape.
        """
        with torch.no_grad(), _computing(layer, self.input_shape) as (mapped, vector):
            mapped = mapped if scale is None else _scaled(mapped, scale.to(vector))
            vector = self._start(mapped, vector)
            estimate = vector.new_zeros((), dtype=vector.real.dtype)
            tiny = torch.finfo(estimate.dtype).tiny
            for _ in range(steps):
                image = mapped.apply(vector)
                # Made moderate first, as squares of large numbers are more than float32 holds.
                image = image / vector_norm(image, math.inf).clamp(min=tiny)
                back = mapped.adjoint(image / vector_norm(image).clamp(min=tiny))
                greatest = vector_norm(back, math.inf).clamp(min=tiny)
                estimate = greatest * vector_norm(back / greatest)
                # Of a direction that is annihilated, or stretched beyond all numbers, nothing
                # better is known: it stays.
                better = (estimate > tiny) & estimate.isfinite()
                vector = torch.where(better, back / estimate.clamp(min=tiny), vector)
            self.vector = vector
        return estimate

    def norm(self, layer: nn.Module) -> Tensor:
        """Return `||T v||` at the direction found so far, which stays constant.

        Its gradient with respect to the weights, `d||T v|| = <T v / ||T v||, dT v>`, is that of
        the norm where v is the direction of greatest stretch and no other is stretched as much.

        Args:
            layer: As for `step`.

        Returns:
            `()`, differentiable in the layer's parameters; where the layer annihilates v, 0 with
            gradient 0.

        Raises:
            CannotBoundError: For a layer that is no linear map.
            ValueError: For a layer that does not take the shape.
        """
        with _computing(layer, self.input_shape) as (mapped, like):
            norm: Tensor = mapped.apply(self._start(mapped, like)).norm()
            return norm

    def _start(self, mapped: LinearMap, like: Tensor) -> Tensor:
        """Return the direction as a batch of one; a new one where there is none of that shape."""
        shape = (1, *mapped.domain)
        if self.vector is None or self.vector.shape != shape:
            generator = torch.Generator().manual_seed(self.seed)
            vector = torch.randn(shape, generator=generator, dtype=like.dtype)
            self.vector = vector / vector.norm()
        return self.vector.to(like.device, like.dtype)


def _scaled(mapped: LinearMap, scale: Tensor) -> LinearMap:
    factor = scale.view(-1, *(1,) * (len(mapped.codomain) - 1))
    return LinearMap(
        mapped.domain,
        mapped.codomain,
        lambda x: mapped.apply(x) * factor,
        lambda y: mapped.adjoint(y * factor),
    )


@contextmanager
def _computing(layer: nn.Module, shape: Shape | None) -> Iterator[tuple[LinearMap, Tensor]]:
    """Yield the layer as a map in a type for power steps, and a tensor of that type."""
    parameter = next(layer.parameters(), torch.empty(0))
    kind = torch.promote_types(parameter.dtype, torch.float32)
    with torch.autocast(parameter.device.type, enabled=False):
        yield linear_map(layer, shape, kind), torch.empty(0, dtype=kind, device=parameter.device)
