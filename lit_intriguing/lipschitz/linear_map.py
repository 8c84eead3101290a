"""A layer without its bias as a linear map with its adjoint, for power steps and Lanczos."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import (
    conv1d,
    conv2d,
    conv3d,
    conv_transpose1d,
    conv_transpose2d,
    conv_transpose3d,
    linear,
)
from torch.nn.functional import pad as zero_pad
from torch.nn.utils.parametrize import type_before_parametrizations

from lit_intriguing.lipschitz.layers.geometry import (
    CONVOLUTIONS,
    TRANSPOSED,
    Axis,
    Convolution,
    axes,
    padded_positions,
    sizes,
)
from lit_intriguing.lipschitz.registry import CannotBoundError, Shape
from lit_intriguing.lipschitz.weights import forward_weight

Operation = Callable[[Tensor], Tensor]

_FORWARD = {1: conv1d, 2: conv2d, 3: conv3d}
_TRANSPOSED = {1: conv_transpose1d, 2: conv_transpose2d, 3: conv_transpose3d}


@dataclass(frozen=True)
class LinearMap:
    """The linear part of a layer, between batches of examples.

    Attributes:
        domain: Shape of one input example.
        codomain: Shape of one output example.
        apply: Maps `(N, *domain)` to `(N, *codomain)`.
        adjoint: Maps `(N, *codomain)` to `(N, *domain)`.
    """

    domain: Shape
    codomain: Shape
    apply: Operation
    adjoint: Operation


def linear_map(
    module: nn.Module, input_shape: Shape | None, dtype: torch.dtype | None = None
) -> LinearMap:
    """Take a Linear, Conv or ConvTranspose layer as a linear map, in evaluation mode.

    Args:
        module: The layer; its bias is left out. Nothing in it changes.
        input_shape: Shape of one example, without the batch dimension. A `Linear` does without.
        dtype: Of the computation; by default the weight's own. Complex weights stay complex.

    Returns:
        The map, on the weight's device. It holds the weight of now, and both directions are
        differentiable in the layer's parameters.

    Raises:
        CannotBoundError: For layers of other types, or whose forward is not their type's.
        ValueError: If the layer does not take that shape, or needs one.
    """
    kind = type_before_parametrizations(module)
    if kind is not nn.Linear and kind not in CONVOLUTIONS and kind not in TRANSPOSED:
        raise CannotBoundError(f"{kind.__name__} is not taken as a linear map")
    if "forward" in vars(module):
        raise CannotBoundError(f"this {kind.__name__} has a forward of its own")
    weight = forward_weight(module)
    if dtype is not None:
        weight = weight.to(dtype.to_complex() if weight.is_complex() else dtype)
    if kind is nn.Linear:
        return _dense(weight, input_shape)
    if input_shape is None:
        raise ValueError(f"{kind.__name__}: the map depends on the shape of an example; give it.")
    return convolution_map(cast(Convolution, module), weight, input_shape)


def _dense(weight: Tensor, input_shape: Shape | None) -> LinearMap:
    outputs, inputs = weight.shape
    shape = (inputs,) if input_shape is None else input_shape
    if not shape or shape[-1] != inputs:
        raise ValueError(f"Linear: wants an example of {inputs} features, not of shape {shape}.")
    return LinearMap(
        shape,
        (*shape[:-1], outputs),
        lambda x: linear(x, weight),
        lambda y: linear(y, weight.mH),
    )


def convolution_map(module: Convolution, weight: Tensor, input_shape: Shape) -> LinearMap:
    """Take a convolution layer with another weight as a linear map; see `linear_map`.

    Args:
        module: The layer.
        weight: In the shape of the layer's own.
        input_shape: Shape of one example.

    Returns:
        The map, on the weight's device and in its type.

    Raises:
        ValueError: If the layer does not take that shape.
    """
    image, outputs = sizes(module, input_shape)
    dimensions = axes(module)
    if type_before_parametrizations(module) in TRANSPOSED:
        back = _correlation(dimensions, weight.conj(), module.groups, "zeros", image, outputs)
        forth = _spreading(dimensions, weight, module.groups, "zeros", image)
        return LinearMap(input_shape, (module.out_channels, *image), forth, back)
    mode = module.padding_mode
    forth = _correlation(dimensions, weight, module.groups, mode, image, outputs)
    back = _spreading(dimensions, weight.conj(), module.groups, mode, image)
    return LinearMap(input_shape, (module.out_channels, *outputs), forth, back)


def _correlation(
    dimensions: Sequence[Axis], weight: Tensor, groups: int, mode: str, image: Shape, outputs: Shape
) -> Operation:
    """Return the convolution of an image, without outputs beyond those asked for."""
    stride, dilation = [a.stride for a in dimensions], [a.dilation for a in dimensions]
    pad = _padding(dimensions, mode, image)
    forward = _FORWARD[len(dimensions)]

    def apply(x: Tensor) -> Tensor:
        y = forward(pad(x), weight, None, stride, 0, dilation, groups)
        return _cropped(y, [0] * len(dimensions), outputs)

    return apply


def _spreading(
    dimensions: Sequence[Axis], weight: Tensor, groups: int, mode: str, image: Shape
) -> Operation:
    """Return the transposed convolution onto an image, then the adjoint of the padding."""
    stride, dilation = [a.stride for a in dimensions], [a.dilation for a in dimensions]
    forward = _TRANSPOSED[len(dimensions)]
    padded = tuple(a.before + size + a.after for a, size in zip(dimensions, image, strict=True))
    unpad = _unpadding(dimensions, mode, image)

    def apply(y: Tensor) -> Tensor:
        x = forward(y, weight, None, stride, 0, 0, groups, dilation)
        return unpad(_extended(x, padded))

    return apply


def _padding(dimensions: Sequence[Axis], mode: str, image: Shape) -> Operation:
    if mode == "zeros":
        sides = [side for axis in reversed(dimensions) for side in (axis.before, axis.after)]
        return lambda x: zero_pad(x, sides)
    places = _places(dimensions, mode, image)

    def pad(x: Tensor) -> Tensor:
        for dim, place in enumerate(places, start=2):
            x = x.index_select(dim, place.to(x.device))
        return x

    return pad


def _unpadding(dimensions: Sequence[Axis], mode: str, image: Shape) -> Operation:
    """Return the adjoint of the padding: each copy of a pixel is added to it."""
    if mode == "zeros":
        return lambda x: _cropped(x, [axis.before for axis in dimensions], image)
    places = _places(dimensions, mode, image)

    def unpad(x: Tensor) -> Tensor:
        for dim, (place, size) in enumerate(zip(places, image, strict=True), start=2):
            sums = x.new_zeros(*x.shape[:dim], size, *x.shape[dim + 1 :])
            x = sums.index_add(dim, place.to(x.device), x)
        return x

    return unpad


def _places(dimensions: Sequence[Axis], mode: str, image: Shape) -> list[Tensor]:
    pairs = zip(dimensions, image, strict=True)
    return [torch.tensor(padded_positions(axis, size, mode)) for axis, size in pairs]


def _cropped(x: Tensor, first: Sequence[int], size: Shape) -> Tensor:
    for dim, (start, length) in enumerate(zip(first, size, strict=True), start=2):
        x = x.narrow(dim, start, length)
    return x


def _extended(x: Tensor, size: Shape) -> Tensor:
    """Add zeros at the end, or crop there: pixels that no tap reaches."""
    behind = [n - have for n, have in zip(reversed(size), reversed(x.shape[2:]), strict=True)]
    return zero_pad(x, [side for n in behind for side in (0, n)])
