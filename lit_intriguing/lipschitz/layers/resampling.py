"""Constants of layers that resize images."""

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from lit_intriguing.lipschitz.layers.separable import axis_norm, separable
from lit_intriguing.lipschitz.layers.windows import most_frequent, root, spatial
from lit_intriguing.lipschitz.norm import Norm
from lit_intriguing.lipschitz.registry import CannotBoundError, Shape, register_norm

Settings = dict[str, Any]

_ALONG = {"bilinear": "linear", "trilinear": "linear"}
_DIMS = {"linear": 1, "bilinear": 2, "trilinear": 3, "bicubic": 2}


@register_norm(nn.Upsample, nn.UpsamplingNearest2d, nn.UpsamplingBilinear2d)
def upsample(module: nn.Module, shape: Shape | None) -> Norm:
    """Return the product of the norms of the same interpolation along each dimension.

    Of nearest neighbours it is an upper bound where a scale leaves a dimension's size as it is:
    some of torch's kernels copy such a dimension, others pick pixels by the scale.
    """
    if not isinstance(module, nn.Upsample):
        raise TypeError(f"{type(module).__name__} does not resize.")
    if shape is None:
        raise CannotBoundError("its weights depend on the shape; give it")
    spatial(module, shape, _DIMS.get(module.mode, max(len(shape) - 1, 1)))
    size = shape[1:]
    settings = [_settings(module, axis, len(size)) for axis in range(len(size))]
    if module.mode.startswith("nearest"):
        found = [_nearest(each, n) for each, n in zip(settings, size, strict=True)]
        copies = root([count for count, _ in found])
        return copies if all(sure for _, sure in found) else Norm(copies.value, "upper")
    return separable(_along(module, each, n) for each, n in zip(settings, size, strict=True))


def _settings(module: nn.Upsample, axis: int, dims: int) -> Settings:
    """Return the settings of the same interpolation along one dimension."""
    return {
        "size": _of_axis(module.size, axis, dims),
        "scale_factor": _of_axis(module.scale_factor, axis, dims),
        "mode": _ALONG.get(module.mode, module.mode),
        "align_corners": module.align_corners,
        "recompute_scale_factor": module.recompute_scale_factor,
    }


def _nearest(settings: Settings, size: int) -> tuple[int, bool]:
    """Return how often a pixel is copied, at most, and whether that is sure."""
    pixels = torch.arange(size, dtype=torch.float64)[None]
    picked = _interpolated(pixels, settings)
    count = most_frequent(picked.long())
    return count, count == 1 or picked.shape[1] != size


def _along(module: nn.Upsample, settings: Settings, size: int) -> Norm:
    if module.mode != "bicubic":
        return axis_norm(module, partial(_interpolated, settings=settings), size)
    made, scale = settings["size"], settings["scale_factor"]
    across = settings | {"size": made and (made, 2), "scale_factor": scale and (scale, 2.0)}
    return axis_norm(module, partial(_bicubic, settings=across), size, signed=True)


def _of_axis(value: Any, axis: int, dims: int) -> Any:
    if not isinstance(value, tuple | list):
        return value
    if len(value) != dims:
        raise ValueError(f"Upsample: {value} does not fit an image of {dims} dimensions.")
    return value[axis]


def _interpolated(pixels: Tensor, settings: Settings) -> Tensor:
    return functional.interpolate(pixels[:, None], **settings)[:, 0]


def _bicubic(pixels: Tensor, settings: Settings) -> Tensor:
    """Interpolate images of one column: across it, the weights of a pixel add up to 1.

    The column is doubled, since torch copies images whose size does not change, whatever the scale.
    """
    images = pixels[:, None, :, None]
    return functional.interpolate(images, **settings)[:, 0, :, 0]
