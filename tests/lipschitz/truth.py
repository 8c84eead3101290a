"""What a layer does to distances, from its own forward in float64: never above its constant."""

import torch
from torch import Tensor, nn


def matrix(layer: nn.Module, shape: tuple[int, ...]) -> Tensor:
    """The linear part `(m, n)` of an affine layer, from its values at the unit vectors."""
    n = torch.Size(shape).numel()
    corners = torch.cat([torch.zeros(1, n), torch.eye(n)]).double().view(n + 1, *shape)
    values = layer(corners).flatten(1)
    return (values[1:] - values[:1]).mT.detach()


def jacobian(layer: nn.Module, x: Tensor) -> Tensor:
    """The Jacobian `(m, n)` at one example `x` of any shape."""
    outputs = layer(x[None]).numel()
    copies = x.expand(outputs, *x.shape).clone().requires_grad_()
    values = layer(copies).flatten(1)
    (slopes,) = torch.autograd.grad(values.diagonal().sum(), copies)
    return slopes.flatten(1)


def norm(dense: Tensor) -> float:
    """The largest singular value."""
    return float(torch.linalg.svdvals(dense)[0])


def steepest(layer: nn.Module, shape: tuple[int, ...], generator: torch.Generator) -> float:
    """The greatest norm of the Jacobian found at points that are awkward for one layer or other."""
    noise = torch.randn(6, *shape, generator=generator, dtype=torch.float64)
    scales = torch.tensor([1e-9, 1e-2, 0.3, 1.0, 4.0, 30.0]).view(-1, *(1,) * len(shape))
    level = torch.ones(1, *shape, dtype=torch.float64)
    lone = torch.zeros(1, *shape, dtype=torch.float64)
    lone.view(-1)[int(torch.randint(lone.numel(), (1,), generator=generator))] = 30.0
    points = torch.cat([noise * scales, level, lone])
    return max(norm(jacobian(layer, point)) for point in points)


def stretch(layer: nn.Module, shape: tuple[int, ...]) -> float:
    """How far the output moves, at most, when one number of an example of zeros becomes 1."""
    moves = matrix(layer, shape)
    return float(moves.norm(dim=0).max())


def secants(layer: nn.Module, channels: int = 1) -> tuple[float, float]:
    """The least and the greatest slope between neighbours, 0.01 apart, from -8 to 8.

    Of values, for some of torch's own gradients (CELU, Hardsigmoid) are off by a float32 rounding.
    """
    places = torch.arange(-800, 801, dtype=torch.float64) / 100
    values = layer(places.expand(1, channels, -1)).detach()
    slopes = values.diff() / places.diff()
    return float(slopes.min()), float(slopes.max())
