"""A convolution and the copying padding before it as one layer."""

from collections.abc import Sequence
from typing import cast

from torch import nn
from torch.nn.utils.parametrize import type_before_parametrizations

from lit_intriguing.lipschitz.layers.geometry import CONVOLUTIONS, Axis, Convolution, axes
from lit_intriguing.lipschitz.registry import CannotBoundError
from lit_intriguing.lipschitz.weights import finite_weight

MODES = ("circular", "reflect", "replicate")
Sides = Sequence[tuple[int, int]]


def padded_convolution(layer: nn.Module, mode: str, sides: Sides) -> nn.Module:
    """Join a padding of copies of the input and the convolution behind it, for their bound.

    The two in a row have the norm of the layer that pads by itself, of which more is known than the
    product of both norms: a circular one is bounded by its frequencies. What is more on one side of
    a circular padding is a shift of the image, which changes no norm.

    Args:
        layer: Conv1d to 3d without padding; not changed.
        mode: One of `MODES`.
        sides: Padding before the first pixel and behind the last, for each dimension.

    Returns:
        A new layer of the same type, in evaluation mode, without bias, with its weight in float64.

    Raises:
        CannotBoundError: If there is no such layer.
    """
    kind = type_before_parametrizations(layer)
    if kind not in CONVOLUTIONS or "forward" in vars(layer) or mode not in MODES:
        raise CannotBoundError(f"{kind.__name__} is no convolution that could pad")
    bare, weight = cast(Convolution, layer), finite_weight(layer)
    padding = _padding(mode, sides, axes(bare))
    joined = kind(
        bare.in_channels,
        bare.out_channels,
        bare.kernel_size,
        bare.stride,
        padding,
        bare.dilation,
        bare.groups,
        bias=False,
        padding_mode=mode,
        device="meta",
    )
    joined.weight = nn.Parameter(weight, requires_grad=False)
    return joined.eval()


def _padding(mode: str, sides: Sides, dimensions: Sequence[Axis]) -> str | tuple[int, ...]:
    """Return the argument of a layer that pads like this."""
    if len(sides) != len(dimensions) or any(axis.before or axis.after for axis in dimensions):
        raise CannotBoundError("padded twice, or along other dimensions")
    if min(min(pair) for pair in sides) < 0:  # of a circular one, torch's result is no shift
        raise CannotBoundError("a padding that crops")
    wanted = [_balanced(*pair) if mode == "circular" else pair for pair in sides]
    if all(before == after for before, after in wanted):
        return tuple(before for before, _ in wanted)
    whole = [axis.extent - 1 for axis in dimensions]
    if wanted == [_balanced(0, one) for one in whole] and all(a.stride == 1 for a in dimensions):
        return "same"
    raise CannotBoundError("a padding that no layer has")


def _balanced(before: int, after: int) -> tuple[int, int]:
    whole = before + after
    return whole // 2, whole - whole // 2
