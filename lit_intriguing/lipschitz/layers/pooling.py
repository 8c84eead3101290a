"""Constants of pools."""

import math
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from lit_intriguing.lipschitz.layers.separable import axis_norm, separable
from lit_intriguing.lipschitz.layers.windows import Window, most_frequent, per_axis, root, spatial
from lit_intriguing.lipschitz.norm import Norm, unknown
from lit_intriguing.lipschitz.registry import CannotBoundError, Shape, register_norm
from lit_intriguing.solvers.spectral.rounding import raised

MaxPool = nn.MaxPool1d | nn.MaxPool2d | nn.MaxPool3d
AvgPool = nn.AvgPool1d | nn.AvgPool2d | nn.AvgPool3d
LPPool = nn.LPPool1d | nn.LPPool2d | nn.LPPool3d
AdaptiveMax = nn.AdaptiveMaxPool1d | nn.AdaptiveMaxPool2d | nn.AdaptiveMaxPool3d
AdaptiveAvg = nn.AdaptiveAvgPool1d | nn.AdaptiveAvgPool2d | nn.AdaptiveAvgPool3d


def _dims(module: nn.Module) -> int:
    return int(type(module).__name__[-2])


@register_norm(nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)
def max_pool(module: nn.Module, shape: Shape | None) -> Norm:
    """Return the root of the largest number of windows that share a pixel.

    A maximum moves at most as far as the pixel of its window that moves most; one pixel that rises
    above all others, by itself, moves all its windows' maxima as far.
    """
    module, dims = cast(MaxPool, module), _dims(module)
    _refuse_indices(module)
    size = spatial(module, shape, dims)
    extents = (module.kernel_size, module.stride, module.padding, module.dilation)
    windows = [Window(*axis) for axis in zip(*(per_axis(e, dims) for e in extents), strict=True)]
    if size is None:
        return root([window.shared_anywhere() for window in windows])
    return root(
        [
            window.shared(pixels, _max_pool_outputs(module, window, pixels))
            for window, pixels in zip(windows, size, strict=True)
        ]
    )


def _max_pool_outputs(module: MaxPool, window: Window, size: int) -> int:
    w = window
    try:
        pooled = functional.max_pool1d(
            torch.zeros(1, 1, size), w.taps, w.stride, w.padding, w.dilation, module.ceil_mode
        )
    except RuntimeError as error:
        raise ValueError(f"{type(module).__name__}: not with {size} pixels: {error}") from error
    return pooled.shape[-1]


def _refuse_indices(module: MaxPool | AdaptiveMax) -> None:
    if module.return_indices:
        raise CannotBoundError("it returns indices too, which jump")


@register_norm(nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d)
def adaptive_max_pool(module: nn.Module, shape: Shape | None) -> Norm:
    """Bound it as `max_pool`; of all sizes, one pixel, which all windows share, is the worst."""
    module, dims = cast(AdaptiveMax, module), _dims(module)
    _refuse_indices(module)
    size = spatial(module, shape, dims)
    outputs = _adaptive_outputs(module, dims)
    if size is None:
        return root([made or 1 for made in outputs])
    return root([_adaptive_shared(n, made or n) for n, made in zip(size, outputs, strict=True)])


def _adaptive_outputs(module: AdaptiveMax | AdaptiveAvg, dims: int) -> tuple[int | None, ...]:
    size = module.output_size
    return (size,) * dims if size is None or isinstance(size, int) else tuple(size)


def _adaptive_shared(size: int, outputs: int) -> int:
    windows = [range(o * size // outputs, -(-(o + 1) * size // outputs)) for o in range(outputs)]
    return most_frequent(torch.tensor([pixel for window in windows for pixel in window]))


@register_norm(nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d)
def adaptive_avg_pool(module: nn.Module, shape: Shape | None) -> Norm:
    """Return the norm of the average along each dimension; of all sizes, one pixel is the worst."""
    module, dims = cast(AdaptiveAvg, module), _dims(module)
    size = spatial(module, shape, dims)
    outputs = _adaptive_outputs(module, dims)
    if size is None:  # rows sum to 1, columns at most to the number of outputs
        return root([made or 1 for made in outputs])
    return separable(
        axis_norm(module, partial(_adaptive_average, outputs=made or n), n)
        for n, made in zip(size, outputs, strict=True)
    )


def _adaptive_average(pixels: Tensor, outputs: int) -> Tensor:
    return functional.adaptive_avg_pool1d(pixels[:, None], outputs)[:, 0]


@register_norm(nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)
def avg_pool(module: nn.Module, shape: Shape | None) -> Norm:
    """Return the product of the norms of the averages along each dimension, divisors included."""
    module, dims = cast(AvgPool, module), _dims(module)
    size = spatial(module, shape, dims)
    extents = (module.kernel_size, module.stride, module.padding)
    windows = [Window(*axis) for axis in zip(*(per_axis(e, dims) for e in extents), strict=True)]
    divisor: int | None = getattr(module, "divisor_override", None)
    if size is None:
        norm = separable(_average_anywhere(module, window, divisor) for window in windows)
    else:
        norm = separable(
            axis_norm(module, partial(_average, module=module, window=w, divisor=divisor), n)
            for w, n in zip(windows, size, strict=True)
        )
    return norm if divisor is None else Norm(raised(norm.value / abs(divisor)), norm.kind)


def _average(pixels: Tensor, module: AvgPool, window: Window, divisor: int | None) -> Tensor:
    """Average along one dimension; with a divisor for all windows, which comes last, sum."""
    sums = None if divisor is None else 1
    pooled = functional.avg_pool2d(
        pixels[:, None, :, None],
        (window.taps, 1),
        (window.stride, 1),
        (window.padding, 0),
        module.ceil_mode,
        module.count_include_pad,
        sums,
    )
    return pooled[:, 0, :, 0]


def _average_anywhere(module: AvgPool, window: Window, divisor: int | None) -> Norm:
    if divisor is not None:
        return sum_anywhere(window)
    if not module.ceil_mode and (module.count_include_pad or not window.padding):
        return Norm(raised(sum_anywhere(window).value / window.taps))
    # Windows at the edge have smaller divisors, but rows still sum to 1 at most, and each column
    # to the number of windows that share the pixel.
    return Norm(root([window.shared_anywhere()]).value, "upper")


def sum_anywhere(window: Window) -> Norm:
    """Return the norm of the sums over windows without end, which no finite size exceeds.

    The symbol of non-negative taps is largest at frequency zero, where each of the `stride`
    phases adds up its taps.
    """
    each, more = divmod(window.taps, window.stride)
    return root([more * (each + 1) ** 2 + (window.stride - more) * each**2])


@register_norm(nn.LPPool1d, nn.LPPool2d, nn.LPPool3d)
def lp_pool(module: nn.Module, shape: Shape | None) -> Norm:
    """Bound p = 2, 4, ... as `max_pool`, for `|d|_p <= |d|_2`; p = 1 is a sum.

    Torch takes powers without absolute values first: p = 1 is linear, and for other p that are not
    even the power is no number, or infinitely steep where a sum of powers vanishes.
    """
    module, dims = cast(LPPool, module), _dims(module)
    power = float(module.norm_type)
    if power != 1 and not (power >= 2 and power % 2 == 0):
        raise CannotBoundError(f"norm_type = {module.norm_type} is neither 1 nor even")
    size = spatial(module, shape, dims)
    kernel = per_axis(cast(int, module.kernel_size), dims)
    stride = kernel if module.stride is None else per_axis(cast(int, module.stride), dims)
    windows = [Window(*axis) for axis in zip(kernel, stride, strict=True)]
    if size is None:
        return separable(_lp_anywhere(w, power, module.ceil_mode) for w in windows)
    along = _lp_sum if power == 1 else _lp_shared
    return separable(along(module, w, n) for w, n in zip(windows, size, strict=True))


def _lp_sum(module: LPPool, window: Window, size: int) -> Norm:
    norm = axis_norm(module, partial(_lp_average, module=module, window=window), size)
    return Norm(raised(window.taps * norm.value), norm.kind)


def _lp_average(pixels: Tensor, module: LPPool, window: Window) -> Tensor:
    """Average as torch does: at the end over fewer pixels, and multiplied then."""
    return functional.avg_pool1d(pixels[:, None], window.taps, window.stride, 0, module.ceil_mode)[
        :, 0
    ]


def _lp_shared(module: LPPool, window: Window, size: int) -> Norm:
    """Return the root of the greatest sum of squared factors of windows that share a pixel."""
    try:
        outputs = _lp_average(torch.zeros(1, size), module, window).shape[1]
    except RuntimeError as error:
        raise ValueError(f"{type(module).__name__}: not with {size} pixels: {error}") from error
    last = window.taps - max((outputs - 1) * window.stride + window.taps - size, 0)
    if last == window.taps:
        return root([window.shared(size, outputs)])
    pixels = torch.arange(outputs)[:, None] * window.stride + torch.arange(window.taps)
    factors = torch.ones(outputs, 1, dtype=torch.float64).expand_as(pixels).clone()
    factors[-1] = (window.taps / last) ** (2 / float(module.norm_type))
    inside = pixels < size
    sums = torch.zeros(size, dtype=torch.float64).index_add(0, pixels[inside], factors[inside])
    # Whole numbers but for one factor: few roundings.
    return Norm(raised(math.sqrt(float(sums.max()))))


def _lp_anywhere(window: Window, power: float, ceil_mode: bool) -> Norm:
    if not ceil_mode:
        return sum_anywhere(window) if power == 1 else root([window.shared_anywhere()])
    edge = raised(window.taps ** (1 / power))  # one pixel in the last window counts for all taps
    return Norm(raised(root([window.shared_anywhere()]).value * edge), "upper")


@register_norm(nn.FractionalMaxPool2d, nn.FractionalMaxPool3d)
def fractional_max_pool(module: nn.Module, shape: Shape | None) -> Norm:
    """Refuse it: it draws its windows anew for each input, in evaluation too."""
    return unknown(f"{type(module).__name__}: it draws its windows at random")


@register_norm(nn.MaxUnpool1d, nn.MaxUnpool2d, nn.MaxUnpool3d)
def max_unpool(module: nn.Module, shape: Shape | None) -> Norm:
    """Refuse it: its indices come from another layer."""
    return unknown(f"{type(module).__name__}: it depends on a second input, the indices")
