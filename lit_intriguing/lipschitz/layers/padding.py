"""Constants of padding."""

from typing import cast

import torch
from torch import nn
from torch.nn import functional

from lit_intriguing.lipschitz.layers.windows import most_frequent, root, spatial
from lit_intriguing.lipschitz.norm import ONE, Norm
from lit_intriguing.lipschitz.registry import CannotBoundError, Shape, register_norm

_MODES: dict[type[nn.Module], str] = {
    nn.ReflectionPad1d: "reflect",
    nn.ReflectionPad2d: "reflect",
    nn.ReflectionPad3d: "reflect",
    nn.ReplicationPad1d: "replicate",
    nn.ReplicationPad2d: "replicate",
    nn.ReplicationPad3d: "replicate",
    nn.CircularPad1d: "circular",
    nn.CircularPad2d: "circular",
    nn.CircularPad3d: "circular",
}


@register_norm(
    nn.ZeroPad1d,
    nn.ZeroPad2d,
    nn.ZeroPad3d,
    nn.ConstantPad1d,
    nn.ConstantPad2d,
    nn.ConstantPad3d,
)
def constant_pad(module: nn.Module, shape: Shape | None) -> Norm:
    """Return 1: it adds constants or crops; zero where it crops every pixel."""
    dims = int(type(module).__name__[-2])
    flat = cast(tuple[int, ...], module.padding)
    if shape is None:
        return ONE
    if len(shape) < dims:  # it would pad the batch
        raise ValueError(
            f"{type(module).__name__}: wants an example of {dims} dimensions or more, not of shape "
            f"{shape}."
        )
    sides = zip(reversed(shape), flat[::2], flat[1::2], strict=False)
    left = [size + min(before, 0) + min(after, 0) for size, before, after in sides]
    return ONE if min(left) > 0 else Norm(0.0)


def copying_mode(module: nn.Module) -> str:
    """Return how a layer copies its input's pixels around it, as convolutions name it; or nothing.

    Nothing of a layer whose forward was replaced too.
    """
    return "" if "forward" in vars(module) else _MODES.get(type(module), "")


@register_norm(*_MODES)
def copying_pad(module: nn.Module, shape: Shape | None) -> Norm:
    """Return the root of the number of copies of the pixel that is copied most."""
    dims = int(type(module).__name__[-2])
    size = spatial(module, shape, dims)
    flat = cast(tuple[int, ...], module.padding)  # the last dimension's two sides come first
    sides = [(flat[2 * axis], flat[2 * axis + 1]) for axis in reversed(range(dims))]
    mode = _MODES[type(module)]
    if mode == "circular" and min(flat) < 0:
        raise CannotBoundError("torch does not say what a circular pad does that also crops")
    if size is None:
        return root([_copies_anywhere(mode, *pair) for pair in sides])
    try:
        return root([_copies(mode, *pair, n) for pair, n in zip(sides, size, strict=True)])
    except RuntimeError as error:
        raise ValueError(f"{type(module).__name__}: not with shape {shape}: {error}") from error


def _copies(mode: str, before: int, after: int, size: int) -> int:
    pixels = torch.arange(size, dtype=torch.float64).view(1, 1, size)
    return most_frequent(functional.pad(pixels, (before, after), mode).long())


def _copies_anywhere(mode: str, before: int, after: int) -> int:
    """Return the most copies for any length: beyond the sum of both sides, these do not meet."""
    found = [0]
    for size in range(1, abs(before) + abs(after) + 3):
        try:
            found.append(_copies(mode, before, after, size))
        except RuntimeError:  # too short for this padding
            continue
    return max(found)
