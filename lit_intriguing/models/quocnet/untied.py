"""Filters without weight sharing: three linear maps, each the derivative of the others.

All copy windows in blocks, so that the copies together never need more than a given memory, and
keep none for the backward pass. Positions come first in their tensors, `(L, N, maps)`, and may be
a part of all that follow each other: a process computes those whose weights it has.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx

from lit_intriguing.models.quocnet.positions import Block, Positions


@dataclass(frozen=True)
class Part:
    """Which positions of an image are computed, and how much at once.

    Attributes:
        positions: All of the image.
        first: Number of the first one computed.
        memory: Bytes that copies of windows may take; one window of each image is the least.
    """

    positions: Positions
    first: int = 0
    memory: int = 2**24

    def blocks(self, count: int, window_bytes: int) -> Iterator[tuple[slice, Block]]:
        """Return blocks of `count` positions, with their places among those computed."""
        # Windows of no images take no memory.
        done, most = 0, max(1, self.memory // max(1, window_bytes))
        for block in self.positions.blocks(self.first, count, most):
            yield slice(done, done + len(block)), block
            done += len(block)


def filtered(x: Tensor, weight: Tensor, part: Part) -> Tensor:
    """Return each filter's product with its own window.

    Args:
        x: Images `(N, C, H, W)`.
        weight: `(L, maps, C * kernel height * kernel width)`, a filter bank for each position.
        part: Which L positions.

    Returns:
        `(L, N, maps)`.
    """
    x, weight = _in_one_type(x, weight)
    result: Tensor = _Filtered.apply(x, weight, part)
    return result


def spread(y: Tensor, weight: Tensor, part: Part) -> Tensor:
    """Return the sum of all filters at their windows: the adjoint of `filtered` in the image.

    Args:
        y: How much of each, `(L, N, maps)`.
        weight: See `filtered`.
        part: Which L positions.

    Returns:
        Images `(N, C, H, W)`.
    """
    y, weight = _in_one_type(y, weight)
    result: Tensor = _Spread.apply(y, weight, part)
    return result


class _Filtered(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, part: Part) -> Tensor:
        _keep(ctx, x, weight, part)
        out = x.new_empty(len(weight), len(x), weight.shape[1])
        for at, block in part.blocks(len(weight), _window_bytes(x, part)):
            torch.bmm(_windows(x, part, block), weight[at].transpose(1, 2), out=out[at])
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, weight = ctx.saved_tensors
        needs_x, needs_weight, _ = ctx.needs_input_grad
        by_x = _Spread.apply(grad, weight, ctx.part) if needs_x else None
        by_weight = _Correlated.apply(x, grad, ctx.part) if needs_weight else None
        return by_x, by_weight, None


class _Spread(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, y: Tensor, weight: Tensor, part: Part) -> Tensor:
        _keep(ctx, y, weight, part)
        height, width = part.positions.kernel
        channels = weight.shape[2] // (height * width)
        # Half precision would lose what many windows add to one pixel.
        wide = torch.float32 if y.dtype in (torch.float16, torch.bfloat16) else y.dtype
        image = y.new_zeros(y.shape[1], channels, *part.positions.image, dtype=wide)
        window_bytes = y.shape[1] * weight.shape[2] * y.element_size()
        for at, block in part.blocks(len(weight), window_bytes):
            _add_windows(image, torch.bmm(y[at], weight[at]), part, block)
        return image.to(y.dtype)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        y, weight = ctx.saved_tensors
        needs_y, needs_weight, _ = ctx.needs_input_grad
        by_y = _Filtered.apply(grad, weight, ctx.part) if needs_y else None
        by_weight = _Correlated.apply(grad, y, ctx.part) if needs_weight else None
        return by_y, by_weight, None


class _Correlated(torch.autograd.Function):
    """The gradient by the weight: windows times outputs, summed over the batch."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, part: Part) -> Tensor:
        _keep(ctx, x, y, part)
        taps = part.positions.kernel[0] * part.positions.kernel[1]
        out = x.new_empty(len(y), y.shape[2], x.shape[1] * taps)
        for at, block in part.blocks(len(y), _window_bytes(x, part)):
            torch.bmm(y[at].transpose(1, 2), _windows(x, part, block), out=out[at])
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, y = ctx.saved_tensors
        needs_x, needs_y, _ = ctx.needs_input_grad
        by_x = _Spread.apply(y, grad, ctx.part) if needs_x else None
        by_y = _Filtered.apply(x, grad, ctx.part) if needs_y else None
        return by_x, by_y, None


def _keep(ctx: FunctionCtx, first: Tensor, second: Tensor, part: Part) -> None:
    ctx.save_for_backward(first, second)
    ctx.part = part  # type: ignore[attr-defined]


def _in_one_type(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Cast as autocast would, where it is on; it leaves float64 alone."""
    kind = one.device.type
    if not torch.is_autocast_enabled(kind) or torch.float64 in (one.dtype, other.dtype):
        return one, other
    dtype = torch.get_autocast_dtype(kind)
    return one.to(dtype), other.to(dtype)


def _window_bytes(x: Tensor, part: Part) -> int:
    height, width = part.positions.kernel
    return len(x) * x.shape[1] * height * width * x.element_size()


def _windows(x: Tensor, part: Part, block: Block) -> Tensor:
    """Return the windows of a block, `(positions, N, C * taps)`.

    Columns are copied first: a window's rows then lie side by side, and are copied as one.
    """
    (height, width), (down, across) = part.positions.kernel, part.positions.stride
    rows, columns = part.positions.pixels(block)
    strips = x[:, :, rows, columns].unfold(3, width, across).permute(3, 0, 1, 2, 4).contiguous()
    windows = strips.unfold(3, height, down).permute(3, 0, 1, 2, 5, 4)
    return windows.reshape(len(block), len(x), x.shape[1] * height * width)


def _add_windows(image: Tensor, windows: Tensor, part: Part, block: Block) -> None:
    """Add windows to an image where they stand; the adjoint of `_windows`, in the same order."""
    (height, width), (down, across) = part.positions.kernel, part.positions.stride
    rows, columns = part.positions.pixels(block)
    side = image[:, :, rows, columns]
    count, channels = image.shape[:2]
    per_row = windows.view(*block.sides, count, channels, height, width)
    strips = image.new_zeros(block.sides[1], count, channels, side.shape[2], width)
    for row, added in enumerate(per_row):
        strips[:, :, :, row * down : row * down + height] += added
    reach = (block.sides[1] - 1) * across + 1
    for tap in range(width):
        side[..., tap : tap + reach : across] += strips[..., tap].permute(1, 2, 3, 0)
