"""Constants of activations that act on each number by itself, from the slopes they take."""

import math
from collections.abc import Callable
from typing import Any

from torch import nn
from torch.nn.utils.parametrize import type_before_parametrizations

from lit_intriguing.lipschitz.norm import Norm
from lit_intriguing.lipschitz.registry import CannotBoundError, Shape, register_norm
from lit_intriguing.lipschitz.weights import finite_weight
from lit_intriguing.solvers.spectral.rounding import raised

Slopes = tuple[float, float]

# f' = Phi(x) + x phi(x) is greatest at sqrt(2), where f'' = phi(x) (2 - x^2) vanishes.
_GELU = raised((1 + math.erf(1)) / 2 + math.exp(-1) / math.sqrt(math.pi))
_GELU_TANH = raised(1.1289930686587718)  # at x = 1.4185040087908284
_SILU = raised(1.0998393201288670)  # 1/2 + x/4 at the root of x tanh(x/2) = 2
_MISH = raised(1.0884981612517280)  # at x = 1.4905711794854285
_MISH_LEAST = -raised(0.1125261223894626)  # at x = -2.2563763963607931
_SELU = raised(1.0507009873554804934 * 1.6732632423543772848)

_FIXED: dict[type[nn.Module], Slopes] = {
    nn.Identity: (1.0, 1.0),
    nn.Dropout: (1.0, 1.0),
    nn.Dropout1d: (1.0, 1.0),
    nn.Dropout2d: (1.0, 1.0),
    nn.Dropout3d: (1.0, 1.0),
    nn.AlphaDropout: (1.0, 1.0),
    nn.FeatureAlphaDropout: (1.0, 1.0),
    nn.ReLU: (0.0, 1.0),
    nn.ReLU6: (0.0, 1.0),
    nn.Hardtanh: (0.0, 1.0),
    nn.Hardsigmoid: (0.0, raised(1 / 6)),
    nn.Hardswish: (-0.5, 1.5),  # (2x + 3) / 6 for x in [-3, 3]
    nn.SELU: (0.0, _SELU),
    nn.SiLU: (1 - _SILU, _SILU),  # f'(x) + f'(-x) = 1, as for all x g(x) with g(x) + g(-x) = 1
    nn.Mish: (_MISH_LEAST, _MISH),
    nn.Sigmoid: (0.0, 0.25),
    nn.LogSigmoid: (0.0, 1.0),
    nn.Tanh: (0.0, 1.0),
    nn.Tanhshrink: (0.0, 1.0),
    nn.Softsign: (0.0, 1.0),
}


def slope_interval(module: nn.Module) -> Slopes | None:
    """Return an interval that contains every slope of an activation, in evaluation mode.

    Args:
        module: Any layer. Its mode does not matter.

    Returns:
        `(lo, hi)` with `lo <= (f(a) - f(b)) / (a - b) <= hi` for all numbers `a != b`,
        rounded outwards; the interval is the smallest one to the rounding of float64. None for
        layers that do not act on each number by itself, and for slopes that are not bounded.

    Examples:
        >>> slope_interval(nn.LeakyReLU(2.0))
        (1.0, 2.0)
        >>> slope_interval(nn.Softmax(1)) is None
        True
    """
    if type_before_parametrizations(module) not in _SLOPES or "forward" in vars(module):
        return None
    try:
        return _slopes(module)
    except CannotBoundError:
        return None


def _slopes(module: nn.Module) -> Slopes:
    low, high = _SLOPES[type_before_parametrizations(module)](module)
    if not (math.isfinite(low) and math.isfinite(high)):
        raise CannotBoundError("its slope is no finite number")
    return low, high


def _hull(*slopes: float) -> Slopes:
    if any(math.isnan(slope) for slope in slopes):
        raise CannotBoundError("its slope is no finite number")
    return float(min(slopes)), float(max(slopes))


def _leaky_relu(module: nn.LeakyReLU) -> Slopes:
    return _hull(1.0, module.negative_slope)


def _prelu(module: nn.PReLU) -> Slopes:
    weight = finite_weight(module)
    if weight.is_complex():
        raise CannotBoundError("its weight is complex")
    return _hull(1.0, *weight.flatten().tolist())


def _rrelu(module: nn.RReLU) -> Slopes:
    middle = (module.lower + module.upper) / 2
    return _hull(1.0, math.nextafter(middle, -math.inf), math.nextafter(middle, math.inf))


def _elu(module: nn.ELU) -> Slopes:
    return _hull(0.0, 1.0, module.alpha)  # alpha exp(x), x < 0


def _celu(module: nn.CELU) -> Slopes:
    if not module.alpha > 0:
        raise CannotBoundError(f"with alpha = {module.alpha} it grows exponentially")
    return 0.0, 1.0


def _gelu(module: nn.GELU) -> Slopes:
    greatest = _GELU_TANH if module.approximate == "tanh" else _GELU
    return 1 - greatest, greatest


def _softplus(module: nn.Softplus) -> Slopes:
    """Return the slopes; a jump `log(1 + exp(-threshold)) / beta` counts if it can be seen.

    Strictly, every Softplus of torch's jumps there, by 2e-9 by default. That is left out if it is
    at most 2^-24 and at most 2^-24 of the input where it stands, `threshold / beta`:
    float32's rounding of numbers of the size 1 and of that input.
    """
    beta, threshold = abs(module.beta), module.threshold
    if beta > 0 and threshold > 0:
        jump = math.log1p(math.exp(-threshold)) / beta
        if jump <= 2.0**-24 * min(1.0, threshold / beta):
            return 0.0, 1.0
    raise CannotBoundError(
        f"with beta = {module.beta} and threshold = {module.threshold} it is not continuous"
    )


def _softshrink(module: nn.Softshrink) -> Slopes:
    if not module.lambd >= 0:
        raise CannotBoundError(f"lambd = {module.lambd} is not allowed")
    return 0.0, 1.0


def _hardshrink(module: nn.Hardshrink) -> Slopes:
    if not module.lambd <= 0:
        raise CannotBoundError("it is not continuous")
    return 1.0, 1.0


def _threshold(module: nn.Threshold) -> Slopes:
    if module.threshold == -math.inf:
        return 1.0, 1.0
    if module.threshold != module.value:
        raise CannotBoundError("it is not continuous: its value is not its threshold")
    return 0.0, 1.0


def _constant(slopes: Slopes) -> Callable[[nn.Module], Slopes]:
    return lambda module: slopes


_SLOPES: dict[type[nn.Module], Callable[[Any], Slopes]] = {
    **{kind: _constant(slopes) for kind, slopes in _FIXED.items()},
    nn.LeakyReLU: _leaky_relu,
    nn.PReLU: _prelu,
    nn.RReLU: _rrelu,
    nn.ELU: _elu,
    nn.CELU: _celu,
    nn.GELU: _gelu,
    nn.Softplus: _softplus,
    nn.Softshrink: _softshrink,
    nn.Hardshrink: _hardshrink,
    nn.Threshold: _threshold,
}


@register_norm(*_SLOPES)
def steepest(module: nn.Module, shape: Shape | None) -> Norm:
    """Return the greatest slope in size, which some pair of numbers reaches or comes near."""
    if isinstance(module, nn.PReLU) and shape and module.num_parameters not in (1, shape[0]):
        raise ValueError(
            f"PReLU: wants an example of {module.num_parameters} channels, not of shape {shape}."
        )
    low, high = _slopes(module)
    return Norm(max(-low, high))
