"""Constants of layers that resize images."""

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from lit_intriguing.lipschitz.line import line_norm, separable
from lit_intriguing.lipschitz.norm import Norm
from lit_intriguing.lipschitz.norms import CannotBoundError, Shape, register_norm
from lit_intriguing.lipschitz.windows import most_frequent, root, spatial

_ALONG = {"bilinear": "linear", "trilinear": "linear"}
_DIMS = {"linear": 1, "bilinear": 2, "trilinear": 3, "bicubic": 2}


@register_norm(nn.Upsample, nn.UpsamplingNearest2d, nn.UpsamplingBilinear2d)
def upsample(module: nn.Module, shape: Shape | None) -> Norm:
    """The product of the norms of the same interpolation along each dimension."""
    if not isinstance(module, nn.Upsample):
        raise TypeError(f"{type(module).__name__} does not resize.")
    if shape is None:
        raise CannotBoundError("its weights depend on the shape; give it")
    spatial(module, shape, _DIMS.get(module.mode, max(len(shape) - 1, 1)))
    size = shape[1:]
    return separable(_along(module, axis, len(size), n) for axis, n in enumerate(size))


def _along(module: nn.Upsample, axis: int, dims: int, size: int) -> Norm:
    made, scale = (_of_axis(value, axis, dims) for value in (module.size, module.scale_factor))
    settings: dict[str, Any] = {
        "size": made,
        "scale_factor": scale,
        "mode": _ALONG.get(module.mode, module.mode),
        "align_corners": module.align_corners,
        "recompute_scale_factor": module.recompute_scale_factor,
    }
    if module.mode.startswith("nearest"):
        pixels = _interpolated(torch.arange(size, dtype=torch.float64)[None], settings)
        return root([most_frequent(pixels.long())])
    if module.mode != "bicubic":
        return line_norm(module, partial(_interpolated, settings=settings), size)
    settings |= {"size": made and (made, 1), "scale_factor": scale and (scale, 1.0)}
    return line_norm(module, partial(_bicubic, settings=settings), size, signed=True)


def _of_axis(value: Any, axis: int, dims: int) -> Any:
    if not isinstance(value, tuple | list):
        return value
    if len(value) != dims:
        raise ValueError(f"Upsample: {value} does not fit an image of {dims} dimensions.")
    return value[axis]


def _interpolated(lines: Tensor, settings: dict[str, Any]) -> Tensor:
    return functional.interpolate(lines[:, None], **settings)[:, 0]


def _bicubic(lines: Tensor, settings: dict[str, Any]) -> Tensor:
    """Images of one column: across it, the weights of the one pixel add up to 1."""
    images = lines[:, None, :, None]
    return functional.interpolate(images, **settings)[:, 0, :, 0]
