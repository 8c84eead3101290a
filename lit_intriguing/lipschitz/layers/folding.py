"""A linear layer and the BatchNorm behind it as one layer."""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import type_before_parametrizations

from lit_intriguing.lipschitz.layers.geometry import (
    CONVOLUTIONS,
    TRANSPOSED,
    Convolution,
    is_transposed,
)
from lit_intriguing.lipschitz.layers.normalisation import BatchNorm, channel_scale
from lit_intriguing.lipschitz.registry import CannotBoundError
from lit_intriguing.lipschitz.weights import finite_weight

Linear = nn.Linear | Convolution

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
DIGITS = 28
"""Binary digits of a factor: with the 24 of a float32 weight they make an exact product."""


def folded(layer: nn.Module, batch_norm: nn.Module) -> nn.Module:
    """Join a linear layer and the BatchNorm behind it, in evaluation mode, for their bound.

    No bound of the folded layer is too low for the two. Their factor `gamma / sqrt(var + eps)` of
    a channel is rounded away from zero to 28 binary digits, so that its product with a weight of at
    most 24, as float32 has them, is exact: channel by channel the folded layer is the two in a row
    times a number from 1 to 1 + 2^-26. A float64 weight makes a product that is rounded: there the
    factor is first increased by 2^-25. That covers the error, of norm at most `2^-53 |T|_F` for
    the folded operator T, and `|T|_F <= 2^27 |T|` for operators of up to 2^54 rows or columns.
    A bound that uses the slopes of the activation behind them holds too, for weights of at most 24
    digits and where zero is among the slopes: to shrink a channel's slopes does not leave them.

    Args:
        layer: Linear, Conv1d to 3d or ConvTranspose1d to 3d; not changed.
        batch_norm: BatchNorm1d to 3d or SyncBatchNorm, of the layer's output channels; not changed.

    Returns:
        A new layer of the same type, in evaluation mode, on the CPU, with weight and bias in
        float64, which require no gradients.

    Raises:
        CannotBoundError: If the two are no such layers, or a number in them is not finite, or the
            BatchNorm has no running statistics.
        ValueError: If the numbers of channels differ.
    """
    kind = _refuse_types(layer, batch_norm)
    linear, norm = cast(Linear, layer), cast(BatchNorm, batch_norm)
    weight = finite_weight(linear).cpu()
    if weight.is_complex():
        raise CannotBoundError("its weight is complex")
    outputs = linear.out_features if isinstance(linear, nn.Linear) else linear.out_channels
    if outputs != norm.num_features:
        raise ValueError(
            f"{type(norm).__name__}: of {norm.num_features} channels behind a layer of {outputs}."
        )
    scale = channel_scale(norm)
    with torch.inference_mode(False), torch.no_grad():
        joined = _empty_like(linear, kind)
        joined.weight.copy_(weight * _factors(linear, _outwards(scale, linear.weight)))
        cast(Tensor, joined.bias).copy_(_bias(linear, norm, scale))
    return joined.eval().requires_grad_(False)


def _refuse_types(layer: nn.Module, batch_norm: nn.Module) -> type[nn.Module]:
    kind = type_before_parametrizations(layer)
    if kind is not nn.Linear and kind not in CONVOLUTIONS and kind not in TRANSPOSED:
        raise CannotBoundError(f"{kind.__name__} is not folded")
    if type_before_parametrizations(batch_norm) not in BATCH_NORMS:
        raise CannotBoundError(f"{type(batch_norm).__name__} is no BatchNorm to fold")
    for module in (layer, batch_norm):
        if "forward" in vars(module):
            raise CannotBoundError(f"this {type(module).__name__} has a forward of its own")
    return kind


def _outwards(scale: Tensor, weight: Tensor) -> Tensor:
    """Return factors not smaller than the true ones, of which `scale` is off by few roundings."""
    exact = torch.finfo(weight.dtype).eps >= 2.0**-23
    mantissa, exponent = torch.frexp(scale * (1 + (2.0**-48 if exact else 2.0**-25)))
    digits = mantissa * 2**DIGITS
    return torch.ldexp(digits.abs().ceil().copysign(digits), exponent - DIGITS)


def _factors(layer: Linear, scale: Tensor) -> Tensor:
    """Return the factors in the weight's shape: `(out, in, ...)`; transposed `(in, out, ...)`.

    With groups the weight's first dimension runs over the inputs of all groups, its second over the
    outputs of the group that the input belongs to.
    """
    dims = layer.weight.dim()
    if isinstance(layer, nn.Linear) or not is_transposed(layer):
        return scale.view(-1, *(1,) * (dims - 1))
    groups = scale.view(layer.groups, 1, -1)
    spread = groups.expand(-1, layer.in_channels // layer.groups, -1)
    return spread.reshape(layer.in_channels, -1, *(1,) * (dims - 2))


def _bias(layer: Linear, norm: BatchNorm, scale: Tensor) -> Tensor:
    """Return the affine part; no constant depends on it."""
    mean = cast(Tensor, norm.running_mean).detach().double().cpu()
    start = -mean if layer.bias is None else layer.bias.detach().double().cpu() - mean
    end = 0.0 if norm.bias is None else norm.bias.detach().double().cpu()
    return start * scale + end


def _empty_like(layer: Linear, kind: type[nn.Module]) -> Linear:
    """Return a layer of the same settings, with a bias, without drawing random numbers."""
    if isinstance(layer, nn.Linear):
        sizes, settings = (layer.in_features, layer.out_features), {}
    else:
        sizes = layer.in_channels, layer.out_channels
        names = ("kernel_size", "stride", "padding", "dilation", "groups", "padding_mode")
        settings = {name: getattr(layer, name) for name in names}
        if is_transposed(layer):
            settings["output_padding"] = layer.output_padding
    empty = kind(*sizes, **settings, bias=True, dtype=torch.float64, device="meta")
    return cast(Linear, empty.to_empty(device="cpu"))
