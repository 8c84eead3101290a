"""How many windows of a pool, of Fold and of Unfold share a pixel, along one dimension."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lit_intriguing.lipschitz.norm import Norm
from lit_intriguing.lipschitz.registry import Shape
from lit_intriguing.solvers.spectral.rounding import raised

Extent = int | Sequence[int]


@dataclass(frozen=True)
class Window:
    """Window `o` holds the pixels `o * stride + j * dilation - padding`, `0 <= j < taps`.

    Attributes:
        taps: Pixels in a window.
        stride: Steps from window to window.
        padding: Places before the first pixel, which do not count.
        dilation: Steps from tap to tap.
    """

    taps: int
    stride: int
    padding: int = 0
    dilation: int = 1

    def outputs(self, size: int) -> int:
        """Return how many windows fit into `size` pixels with padding on both sides."""
        return (size + 2 * self.padding - self.dilation * (self.taps - 1) - 1) // self.stride + 1

    def shared(self, size: int, outputs: int) -> int:
        """Return the largest number of windows, of `outputs` on `size` pixels, that share one."""
        starts = torch.arange(outputs) * self.stride - self.padding
        pixels = starts[:, None] + torch.arange(self.taps) * self.dilation
        return most_frequent(pixels[(pixels >= 0) & (pixels < size)])

    def shared_anywhere(self) -> int:
        """Return the same for any number of pixels: taps of equal `j * dilation` modulo stride."""
        return -(-self.taps * math.gcd(self.stride, self.dilation) // self.stride)


def most_frequent(pixels: Tensor) -> int:
    """Return how often the most frequent of whole numbers from zero occurs, in any shape."""
    return int(pixels.flatten().bincount(minlength=1).max())


def root(counts: Sequence[int]) -> Norm:
    """Return the root of the product of the counts along each dimension, as an exact constant."""
    count = math.prod(counts)
    whole = math.isqrt(count)
    return Norm(float(whole) if whole**2 == count else raised(math.sqrt(count)))


def per_axis(extent: Extent, dims: int) -> tuple[int, ...]:
    """Return one number for each dimension, of one for all or one for each."""
    return (extent,) * dims if isinstance(extent, int) else tuple(extent)


def spatial(module: nn.Module, shape: Shape | None, dims: int) -> Shape | None:
    """Return the shape of an example without its channels.

    Raises:
        ValueError: If there are not as many dimensions as the layer wants, or one is empty.
    """
    if shape is not None and (len(shape) != dims + 1 or min(shape[1:]) < 1):
        wanted = ", ".join(["C", *"DHW"[-dims:]])
        raise ValueError(
            f"{type(module).__name__}: wants an example of shape ({wanted}), not {shape}."
        )
    return None if shape is None else shape[1:]
