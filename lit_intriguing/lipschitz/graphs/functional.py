"""Functions that do what a layer does: asked for as that layer."""

import math
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.nn import Module, functional

from lit_intriguing.lipschitz.graphs.constants import allowed_for
from lit_intriguing.lipschitz.graphs.functions import argument, named, register_function
from lit_intriguing.lipschitz.graphs.graph import Node, mapped
from lit_intriguing.lipschitz.norm import Norm
from lit_intriguing.lipschitz.registry import CannotBoundError, Method, operator_norm

_POOL = "kernel_size stride padding "
_AVERAGE = _POOL + "ceil_mode count_include_pad divisor_override"
_MAXIMUM = _POOL + "dilation ceil_mode return_indices"
_NOT_OF_LAYERS = {"inplace", "_stacklevel", "dtype", "training"}

# The layer, and the names of the arguments behind the input, in the function's order.
_LAYERS: dict[str, tuple[type[Module], str]] = {
    "relu": (nn.ReLU, "inplace"),
    "relu_": (nn.ReLU, ""),
    "relu6": (nn.ReLU6, "inplace"),
    "elu": (nn.ELU, "alpha inplace"),
    "selu": (nn.SELU, "inplace"),
    "celu": (nn.CELU, "alpha inplace"),
    "leaky_relu": (nn.LeakyReLU, "negative_slope inplace"),
    "hardtanh": (nn.Hardtanh, "min_val max_val inplace"),
    "hardswish": (nn.Hardswish, "inplace"),
    "hardsigmoid": (nn.Hardsigmoid, "inplace"),
    "sigmoid": (nn.Sigmoid, ""),
    "sigmoid_": (nn.Sigmoid, ""),
    "expit": (nn.Sigmoid, ""),
    "tanh": (nn.Tanh, ""),
    "tanh_": (nn.Tanh, ""),
    "gelu": (nn.GELU, "approximate"),
    "silu": (nn.SiLU, "inplace"),
    "mish": (nn.Mish, "inplace"),
    "softplus": (nn.Softplus, "beta threshold"),
    "softsign": (nn.Softsign, ""),
    "tanhshrink": (nn.Tanhshrink, ""),
    "softshrink": (nn.Softshrink, "lambd"),
    "logsigmoid": (nn.LogSigmoid, ""),
    "glu": (nn.GLU, "dim"),
    "max_pool1d": (nn.MaxPool1d, _MAXIMUM),
    "max_pool2d": (nn.MaxPool2d, _MAXIMUM),
    "max_pool3d": (nn.MaxPool3d, _MAXIMUM),
    "avg_pool1d": (nn.AvgPool1d, _POOL + "ceil_mode count_include_pad"),
    "avg_pool2d": (nn.AvgPool2d, _AVERAGE),
    "avg_pool3d": (nn.AvgPool3d, _AVERAGE),
    "lp_pool1d": (nn.LPPool1d, "norm_type kernel_size stride ceil_mode"),
    "lp_pool2d": (nn.LPPool2d, "norm_type kernel_size stride ceil_mode"),
    "lp_pool3d": (nn.LPPool3d, "norm_type kernel_size stride ceil_mode"),
    "adaptive_avg_pool1d": (nn.AdaptiveAvgPool1d, "output_size"),
    "adaptive_avg_pool2d": (nn.AdaptiveAvgPool2d, "output_size"),
    "adaptive_avg_pool3d": (nn.AdaptiveAvgPool3d, "output_size"),
    "adaptive_max_pool1d": (nn.AdaptiveMaxPool1d, "output_size return_indices"),
    "adaptive_max_pool2d": (nn.AdaptiveMaxPool2d, "output_size return_indices"),
    "adaptive_max_pool3d": (nn.AdaptiveMaxPool3d, "output_size return_indices"),
    "interpolate": (nn.Upsample, "size scale_factor mode align_corners recompute_scale_factor"),
    "local_response_norm": (nn.LocalResponseNorm, "size alpha beta k"),
}
_SOFTMAX: dict[str, type[Module]] = {"softmax": nn.Softmax, "log_softmax": nn.LogSoftmax}
_CONVOLUTIONS: dict[Any, type[Module]] = {
    functional.conv1d: nn.Conv1d,
    functional.conv2d: nn.Conv2d,
    functional.conv3d: nn.Conv3d,
}
_TRANSPOSED: dict[Any, type[Module]] = {
    functional.conv_transpose1d: nn.ConvTranspose1d,
    functional.conv_transpose2d: nn.ConvTranspose2d,
    functional.conv_transpose3d: nn.ConvTranspose3d,
}
_SPATIAL = {3: nn.BatchNorm1d, 2: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}


def as_layer(node: Node) -> Norm:
    """Return the constant of the layer of this name with the call's arguments."""
    return _asked(_same(node), node)


def same_layer(node: Node) -> Module | None:
    """Return the layer without weights that does what a function does; None if there is none.

    Raises:
        CannotBoundError: If the function is called with arguments that the layer does not have.
    """
    alone = node.sources == [argument(node, 0, "input")]
    return _same(node) if alone and node.target in _FUNCTIONS else None


def _same(node: Node) -> Module:
    layer, names = _LAYERS[node.target.__name__]
    try:
        return layer(**_without(_options(node, names), _NOT_OF_LAYERS))
    except TypeError as error:
        raise CannotBoundError("an argument that the layer does not have") from error


_FUNCTIONS = named(*_LAYERS)
register_function(*_FUNCTIONS)(as_layer)


@register_function(*named("softmax", "log_softmax"))
def softmax(node: Node) -> Norm:
    """Return the constant of the layer along the same dimension."""
    dim = _options(node, "dim")["dim"]
    return _asked(_SOFTMAX[node.target.__name__](dim=dim), node)


@register_function(functional.linear)
def linear(node: Node) -> Norm:
    """Return the constant of the layer with these weights."""
    weight = _options(node, "weight bias")["weight"]
    rows, columns = weight.shape if weight.ndim == 2 else (1, len(weight))
    weight = weight.reshape(rows, columns)
    return _asked(
        _with(nn.Linear(columns, rows, False, "meta"), weight=weight), node, weight.numel()
    )


@register_function(*_CONVOLUTIONS)
def convolution(node: Node, method: Method = "certified") -> Norm:
    """Return the constant of the layer with these weights."""
    options = _options(node, "weight bias stride padding dilation groups")
    weight, groups = options.pop("weight"), options.get("groups", 1)
    channels, filters = weight.shape[1] * groups, weight.shape[0]
    return _convolution(
        _CONVOLUTIONS[node.target], channels, filters, weight, options, node, method
    )


@register_function(*_TRANSPOSED)
def transposed_convolution(node: Node, method: Method = "certified") -> Norm:
    """Return the constant of the layer with these weights."""
    options = _options(node, "weight bias stride padding output_padding groups dilation")
    weight, groups = options.pop("weight"), options.get("groups", 1)
    channels, filters = weight.shape[0], weight.shape[1] * groups
    return _convolution(_TRANSPOSED[node.target], channels, filters, weight, options, node, method)


register_function(*_CONVOLUTIONS, method="probable")(partial(convolution, method="probable"))
register_function(*_TRANSPOSED, method="probable")(
    partial(transposed_convolution, method="probable")
)


@register_function(functional.batch_norm)
def batch_norm(node: Node) -> Norm:
    """Return the constant of the layer with these statistics.

    Raises:
        CannotBoundError: If it takes the batch's statistics in evaluation, too.
    """
    options = _options(node, "running_mean running_var weight bias training momentum eps")
    if options.get("training") or options.get("running_var") is None:
        raise CannotBoundError("takes the batch's statistics in evaluation, too")
    variance, weight = options["running_var"], options.get("weight")
    layer = _SPATIAL[len(node.shape)](
        len(variance), eps=options.get("eps", 1e-5), affine=weight is not None, device="meta"
    )
    layer.running_var, layer.running_mean = variance, options["running_mean"]
    return _asked(_with(layer, weight=weight, bias=weight), node)


@register_function(*named("layer_norm"))
def layer_norm(node: Node) -> Norm:
    """Return the constant of the layer with these weights."""
    options = _options(node, "normalized_shape weight bias eps")
    weight, eps = options.get("weight"), options.get("eps", 1e-5)
    layer = nn.LayerNorm(options["normalized_shape"], eps, weight is not None, device="meta")
    return _asked(_with(layer, weight=weight, bias=weight), node)


@register_function(*named("group_norm"))
def group_norm(node: Node) -> Norm:
    """Return the constant of the layer with these weights."""
    options = _options(node, "num_groups weight bias eps")
    weight, eps = options.get("weight"), options.get("eps", 1e-5)
    channels = node.shape[1]
    layer = nn.GroupNorm(options["num_groups"], channels, eps, weight is not None, device="meta")
    return _asked(_with(layer, weight=weight, bias=weight), node)


@register_function(functional.scaled_dot_product_attention, functional.multi_head_attention_forward)
def attention(node: Node) -> Norm:
    """Refuse it: attention multiplies what depends on the input (Kim et al. 2021).

    Raises:
        CannotBoundError: Always.
    """
    raise CannotBoundError("dot-product attention has no Lipschitz constant")


def _convolution(
    kind: type[Module],
    channels: int,
    filters: int,
    weight: Tensor,
    options: dict[str, Any],
    node: Node,
    method: Method,
) -> Norm:
    options.pop("bias", None)
    kernel = tuple(weight.shape[2:])
    layer = kind(channels, filters, kernel, bias=False, device="meta", **options)
    return _asked(_with(layer, weight=weight), node, weight.numel(), method)


def _options(node: Node, names: str) -> dict[str, Any]:
    """Return the arguments behind the input by their names, tensors by their values."""
    positional = dict(zip(names.split(), node.args[1:], strict=False))
    options = {**positional, **{key: one for key, one in node.kwargs.items() if key != "input"}}
    found: dict[str, Any] = mapped(options, Node, lambda each: each.value)
    return found


def _without(options: dict[str, Any], names: set[str]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name not in names}


def _with(layer: Module, **tensors: Tensor | None) -> Module:
    for name, tensor in tensors.items():
        parameter = None if tensor is None else nn.Parameter(tensor, requires_grad=False)
        setattr(layer, name, parameter)
    return layer


def _asked(layer: Module, node: Node, entries: int = 1, method: Method = "certified") -> Norm:
    """Return the layer's constant, that of a matrix with so many entries."""
    norm = operator_norm(layer.eval(), node.sources[0].shape[1:], method=method)
    if not norm.finite:
        raise CannotBoundError(norm.reason.removeprefix(f"{type(layer).__name__}: "))
    constants = [one for one in node.inputs if not one.varying]
    return allowed_for(norm, constants, math.sqrt(entries))
