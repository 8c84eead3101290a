"""Constants of convolutions: with stride, padding, dilation and groups, also transposed."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import type_before_parametrizations

from lit_intriguing.lipschitz.layers.geometry import (
    CONVOLUTIONS,
    TRANSPOSED,
    Axis,
    Convolution,
    axes,
    padded_positions,
    refuse_weight,
    sizes,
)
from lit_intriguing.lipschitz.linear_map import LinearMap, convolution_map
from lit_intriguing.lipschitz.norm import Norm, product
from lit_intriguing.lipschitz.registry import CannotBoundError, Method, Shape, register_norm
from lit_intriguing.lipschitz.weights import finite_weight
from lit_intriguing.solvers.spectral import (
    PaddedAxis,
    Symbol,
    certified_norm,
    enclosing_axis,
    padded,
    padded_axis,
    probable_norm,
    sampled,
    supremum,
    symbol,
    too_large,
)
from lit_intriguing.solvers.spectral.lanczos import ROOM, STEPS
from lit_intriguing.solvers.spectral.rounding import gamma, rounded_up, scaled

SMALL = 2**20
"""Entries up to which the operator is written out as a matrix."""

PIECE = 2**22
"""Numbers that are worked on at once while it is written: with one patch for each output."""

RISK = 1e-9
"""Of the method "probable"."""


def _check(module: nn.Module, shape: Shape | None) -> tuple[Convolution, Tensor]:
    """Return the layer and its weight, in float64 or complex128 on the CPU.

    Raises:
        CannotBoundError: For other layers, and for weights that are not finite or unclear.
        ValueError: If the layer does not take that shape.
    """
    kind = type_before_parametrizations(module)
    if kind not in CONVOLUTIONS and kind not in TRANSPOSED:
        raise CannotBoundError(f"{kind.__name__} is no convolution")
    layer, weight = cast(Convolution, module), finite_weight(module).cpu()
    refuse_weight(layer, weight)
    axes(layer)  # refuses what does not fit, also where the weight is zero
    if shape is not None:
        sizes(layer, shape)
    return layer, weight


@register_norm(*CONVOLUTIONS, *TRANSPOSED, check=_check)
def certified(module: nn.Module, shape: Shape | None) -> Norm:
    """Return the certified constant of a convolution layer; see `convolution_norm`."""
    return convolution_norm(module, shape)


@register_norm(*CONVOLUTIONS, *TRANSPOSED, method="probable")
def probable(module: nn.Module, shape: Shape | None) -> Norm:
    """Return the probable constant; certified where the shape, which it needs, is not known."""
    return convolution_norm(module, shape, method="certified" if shape is None else "probable")


def convolution_norm(
    module: nn.Module,
    input_shape: Shape | None = None,
    *,
    method: Method = "certified",
    seed: int = 0,
) -> Norm:
    """Bound the L2 operator norm of a convolution layer.

    Zeros around the image: the operator is part of a circular convolution with a period so long
    that nothing wraps round, multiplied by phases on both sides, so that the greatest norm of the
    symbol `A` (Szegedy et al. 2013, section 4.3) at the samples `2 pi (j + theta) / M` bounds
    it for any theta. Of small images one dimension is not sampled but bounded exactly, by a block
    Toeplitz matrix for each frequency of the others. Without a shape: the supremum of `A` over
    all frequencies. Groups: the greatest. A transposed convolution has the norm of its adjoint.
    Other padding: circular exactly where the stride divides the image, otherwise the norm of the
    padding times that of the convolution. Operators of up to 2^20 entries are written out as a
    matrix. Where frequencies would take more than 2 GiB of memory, as with some thousands of
    channels, the bound is a coarser one from the taps, and its `reason` says so.

    Args:
        module: A Conv or ConvTranspose layer of one, two or three dimensions.
        input_shape: Shape of one example, `(C, ...)`; None: the bound holds for all shapes.
        method: `"certified"`, or `"probable"`: Lanczos from a random start, which holds with
            probability 1 - 1e-9, needs a shape and is the tighter one for small images; with zeros
            around images so large that its vectors would not fit into 2 GiB it is the certified
            one, which is tight there and holds all the more.
        seed: Of the private generator of that start.

    Returns:
        The norm: exact for small operators and where patches do not overlap; otherwise upper, or
        probable.

    Raises:
        CannotBoundError: For other layers, and for weights that are not finite or unclear.
        ValueError: If the layer does not take that shape, or a shape or method is missing.
    """
    if method not in ("certified", "probable"):
        raise ValueError(f"convolution_norm: the method is certified or probable, not {method!r}.")
    layer, weight = _check(module, input_shape)
    if method == "probable":
        return _probable(layer, input_shape, seed)
    if not weight.any():  # also of no channels at all
        return Norm(0.0)
    weight, scale = scaled(weight)
    if input_shape is None:
        found = _of_any_shape(layer, weight)
    else:
        found = _of_shape(layer, weight, input_shape)
    return Norm(rounded_up(found.value * scale), found.kind, reason=found.reason)


def _of_any_shape(layer: Convolution, weight: Tensor) -> Norm:
    dimensions = axes(layer)
    reduced = _reduced(layer, weight, dimensions)
    bound = Norm(supremum(reduced), _kind(reduced, True), reason=too_large(reduced))
    whole = all(axis.before + axis.after == axis.extent - 1 for axis in dimensions)
    circulant = layer.padding_mode == "circular" and whole and set(layer.stride) == {1}
    if layer.padding_mode == "zeros" or circulant:
        return bound
    return product([_copies(_most_copies(axis, layer.padding_mode) for axis in dimensions), bound])


def _of_shape(layer: Convolution, weight: Tensor, input_shape: Shape) -> Norm:
    image, outputs = sizes(layer, input_shape)
    channels = layer.in_channels * layer.out_channels
    if channels * math.prod(image) * math.prod(outputs) <= SMALL:
        return Norm(_written_out(layer, weight, input_shape))
    dimensions, mode = axes(layer), layer.padding_mode
    if mode == "zeros":
        return _zero_padded(layer, weight, dimensions, image, outputs)
    if mode == "circular" and all(
        m * s == n for m, s, n in zip(outputs, layer.stride, image, strict=True)
    ):
        found = symbol(weight, layer.groups, layer.stride, layer.dilation)
        value = sampled(found, outputs, [0.0] * len(outputs))
        return Norm(value, "upper", reason=too_large(found))
    padded = tuple(a.before + n + a.after for a, n in zip(dimensions, image, strict=True))
    bare = tuple(Axis(a.kernel, a.stride, a.dilation, 0, 0) for a in dimensions)
    pairs = zip(dimensions, image, strict=True)
    copies = (max(Counter(padded_positions(axis, n, mode)).values()) for axis, n in pairs)
    return product([_copies(copies), _zero_padded(layer, weight, bare, padded, outputs)])


def _written_out(layer: Convolution, weight: Tensor, input_shape: Shape) -> float:
    """Return the norm of the operator as a matrix, whose entries are sums of a few taps."""
    with torch.no_grad():
        matrix = _matrix(convolution_map(layer, weight, input_shape), weight)
    taps = math.prod(weight.shape[2:])
    greatest_sum = float(weight.abs().sum(tuple(range(2, weight.ndim))).max())
    error = 0.0
    if layer.padding_mode != "zeros":  # otherwise at most one tap leads from pixel to output
        error = gamma(taps) * greatest_sum * math.sqrt(matrix.numel())
    return rounded_up(float(certified_norm(matrix)) + error)


def _matrix(found: LinearMap, weight: Tensor) -> Tensor:
    """Return the operator, or its adjoint, one row of a unit vector of its smaller side each.

    They go through a few at a time: a convolution in float64 copies the patch of every output.
    """
    forth = math.prod(found.domain) <= math.prod(found.codomain)
    side, apply = (found.domain, found.apply) if forth else (found.codomain, found.adjoint)
    count, pixels = math.prod(side), math.prod(found.domain) + math.prod(found.codomain)
    few = max(1, PIECE // (pixels * math.prod(weight.shape[2:])))
    rows = []
    for first in range(0, count, few):
        unit = weight.new_zeros(min(few, count - first), count)
        unit[:, first:].fill_diagonal_(1)
        rows.append(apply(unit.reshape(-1, *side)).flatten(1))
    return torch.cat(rows)


def _zero_padded(
    layer: Convolution, weight: Tensor, dimensions: Sequence[Axis], image: Shape, outputs: Shape
) -> Norm:
    reduced = _reduced(layer, weight, dimensions)
    triples = list(zip(dimensions, image, outputs, strict=True))
    separate = [enclosing_axis(_one_dimensional(*triple)) for triple in triples]
    if min(one.period for one in separate) == 0:  # each output lies in the padding
        return Norm(0.0)
    inside = all(_reads_only_pixels(*triple) for triple in triples)
    return Norm(padded(reduced, separate), _kind(reduced, inside), reason=too_large(reduced))


def _kind(reduced: Symbol, inside: bool) -> Literal["exact", "upper"]:
    """Return `exact` where patches do not overlap: a patch of pixels reaches the norm."""
    return "exact" if max(reduced.counts) == 1 and inside else "upper"


def _reduced(layer: Convolution, weight: Tensor, dimensions: Sequence[Axis]) -> Symbol:
    """Return the symbol of one of the separate convolutions that dilation makes of one.

    With `g = gcd(stride, dilation)` the outputs fall into `dilation / g` classes, of which each
    reads its own class of pixels, as a convolution of stride `stride / g` without dilation.
    """
    strides = [axis.stride // math.gcd(axis.stride, axis.dilation) for axis in dimensions]
    return symbol(weight, layer.groups, strides, [1] * len(dimensions))


def _one_dimensional(axis: Axis, image: int, outputs: int) -> list[PaddedAxis]:
    """Return the convolution along one dimension for each class of outputs; see `_reduced`."""
    common = math.gcd(axis.stride, axis.dilation)
    classes, found = axis.dilation // common, []
    for one in range(min(classes, outputs)):
        start, first = divmod(one * axis.stride - axis.before, axis.dilation)
        pixels = -((first - image) // axis.dilation)
        made = -((one - outputs) // classes)
        found.append(padded_axis(pixels, axis.kernel, axis.stride // common, -start, made))
    return found


def _reads_only_pixels(axis: Axis, image: int, outputs: int) -> bool:
    """Return whether there is an output none of whose taps lies in the padding."""
    first = -(-axis.before // axis.stride)
    return first < outputs and first * axis.stride - axis.before + axis.extent <= image


def _copies(counts: Iterable[int]) -> Norm:
    """Return the norm of padding: the root of the number of copies that a pixel has."""
    return Norm(rounded_up(math.sqrt(math.prod(counts))), "upper")


def _most_copies(axis: Axis, mode: str) -> int:
    """Return the most copies of a pixel, over all sizes of the image that the layer takes."""
    if mode == "replicate":
        return 1 + max(axis.before, 0) + max(axis.after, 0)
    return 1 + (axis.before > 0) + (axis.after > 0)


def _probable(layer: Convolution, input_shape: Shape | None, seed: int) -> Norm:
    if input_shape is None:
        raise ValueError("convolution_norm: the probable method needs the shape of an example.")
    weight, scale = scaled(finite_weight(layer))
    with torch.inference_mode(False), torch.no_grad():
        found = convolution_map(layer, weight, input_shape)
        forth, back = _flat(found.apply, found.domain), _flat(found.adjoint, found.codomain)
        domain, codomain = math.prod(found.domain), math.prod(found.codomain)
        if not weight.any():
            return Norm(0.0)
        if layer.padding_mode == "zeros" and min(domain, codomain) > ROOM // STEPS:
            return convolution_norm(layer, input_shape)
        if codomain < domain:
            forth, back = back, forth
        value = probable_norm(
            forth,
            back,
            min(domain, codomain),
            dtype=weight.dtype,
            device=weight.device,
            risk=RISK,
            seed=seed,
        )
    return Norm(rounded_up(value * scale), "probable", RISK)


def _flat(operation: Callable[[Tensor], Tensor], shape: Shape) -> Callable[[Tensor], Tensor]:
    return lambda x: operation(x.reshape(1, *shape)).flatten()
