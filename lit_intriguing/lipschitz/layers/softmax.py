"""Constants of softmax and its relatives, and of layers that multiply their inputs."""

import math

from torch import nn

from lit_intriguing.lipschitz.norm import Norm, unknown
from lit_intriguing.lipschitz.registry import CannotBoundError, Shape, register_norm
from lit_intriguing.solvers.spectral.rounding import raised


@register_norm(nn.Softmax)
def softmax(module: nn.Softmax, shape: Shape | None) -> Norm:
    """Return one half, which two equal logits reach where the others are far below.

    The Jacobian is `diag(p) - p p'`, symmetric, and `v' (diag(p) - p p') v` is the variance of
    a number that takes the value `v_i` with probability `p_i`: at most a quarter of the squared
    range of `v` (Popoviciu), which is at most `2 |v|^2`.
    """
    return Norm(0.0 if _classes(module.dim, shape) == 1 else 0.5)


@register_norm(nn.Softmin)
def softmin(module: nn.Softmin, shape: Shape | None) -> Norm:
    """Bound it as `softmax`, which it is of the negative logits."""
    return Norm(0.0 if _classes(module.dim, shape) == 1 else 0.5)


@register_norm(nn.Softmax2d)
def softmax_of_channels(module: nn.Softmax2d, shape: Shape | None) -> Norm:
    """Bound it as `softmax`, over the channels."""
    if shape is not None and len(shape) != 3:
        raise ValueError(f"Softmax2d: wants an example of shape (C, H, W), not {shape}.")
    return Norm(0.0 if _classes(-3, shape) == 1 else 0.5)


@register_norm(nn.LogSoftmax)
def log_softmax(module: nn.LogSoftmax, shape: Shape | None) -> Norm:
    """Return the root of the number of classes, approached where one class takes everything.

    The Jacobian `I - 1 p'` is a projection, as `p' 1 = 1`, and so is `1 p'`; of two such
    complementary projections, neither zero, both have the same norm: `sqrt(n) |p| < sqrt(n)`.
    """
    classes = _classes(module.dim, shape)
    if classes is None:
        raise CannotBoundError("its constant grows with the number of classes; give the shape")
    return Norm(0.0 if classes == 1 else raised(math.sqrt(classes)))


@register_norm(
    nn.GLU,
    nn.MultiheadAttention,
    nn.Transformer,
    nn.TransformerEncoder,
    nn.TransformerEncoderLayer,
    nn.TransformerDecoder,
    nn.TransformerDecoderLayer,
)
def multiplying(module: nn.Module, shape: Shape | None) -> Norm:
    """Refuse it: the slope of a product grows with its factors (attention: Kim et al. 2021)."""
    return unknown(
        f"{type(module).__name__}: it multiplies functions of its input, so that its "
        "slope grows without limit"
    )


def _classes(dim: int | None, shape: Shape | None) -> int | None:
    """Return the size of the dimension that is normalised; None where it is not known."""
    if dim is None:
        raise CannotBoundError("dim is not given")
    if shape is None and dim != 0:
        return None
    index = dim if dim >= 0 or shape is None else dim + len(shape) + 1
    if index == 0:
        raise CannotBoundError(f"dim = {dim} is that of the batch")
    if shape is None or not 0 < index <= len(shape):
        raise ValueError(f"softmax: an example of shape {shape} has no dimension {dim}.")
    return shape[index - 1]
