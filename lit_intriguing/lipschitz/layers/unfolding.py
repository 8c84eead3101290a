"""Constants of Fold and Unfold."""

import math

from torch import nn

from lit_intriguing.lipschitz.layers.windows import Window, per_axis, root, spatial
from lit_intriguing.lipschitz.norm import Norm
from lit_intriguing.lipschitz.registry import Shape, register_norm


def _windows(module: nn.Fold | nn.Unfold) -> list[Window]:
    extents = (module.kernel_size, module.stride, module.padding, module.dilation)
    return [Window(*axis) for axis in zip(*(per_axis(e, 2) for e in extents), strict=True)]


@register_norm(nn.Unfold)
def unfold(module: nn.Unfold, shape: Shape | None) -> Norm:
    """Return the norm of copying each pixel into all windows that hold it."""
    size = spatial(module, shape, 2)
    windows = _windows(module)
    if size is None:
        return root([window.shared_anywhere() for window in windows])
    outputs = [window.outputs(n) for window, n in zip(windows, size, strict=True)]
    if min(outputs) < 1:
        raise ValueError(f"Unfold: an example of shape {shape} gives no output.")
    return _shared(windows, size, outputs)


@register_norm(nn.Fold)
def fold(module: nn.Fold, shape: Shape | None) -> Norm:
    """Return the adjoint of `unfold`, with the same norm."""
    size = per_axis(module.output_size, 2)
    windows = _windows(module)
    outputs = [window.outputs(n) for window, n in zip(windows, size, strict=True)]
    taps = math.prod(window.taps for window in windows)
    blocks = math.prod(outputs)
    if min(outputs) < 1:
        raise ValueError(f"Fold: no window fits into an output of {size}.")
    if shape is not None and (len(shape) != 2 or shape[0] % taps or shape[1] != blocks):
        raise ValueError(f"Fold: wants an example of shape (C * {taps}, {blocks}), not {shape}.")
    return _shared(windows, size, outputs)


def _shared(windows: list[Window], size: Shape, outputs: list[int]) -> Norm:
    axes = zip(windows, size, outputs, strict=True)
    return root([window.shared(n, made) for window, n, made in axes])
