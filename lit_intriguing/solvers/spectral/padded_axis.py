"""One dimension of a zero-padded convolution: what it reads, and how long a circle holds it."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class PaddedAxis:
    """A dimension of a zero-padded convolution, without the outputs that read no pixel.

    Attributes:
        period: The least M for which the circular convolution of period `s M` contains it; zero
            if no output is left.
        outputs: Number of outputs that are left.
        stride: s.
        first: Index of the first pixel, counted from the first place that such an output reads.
        pixels: Number of pixels from there on; there may be more than are read.
    """

    period: int
    outputs: int
    stride: int
    first: int
    pixels: int


def padded_axis(image: int, kernel: int, stride: int, before: int, outputs: int) -> PaddedAxis:
    """Describe a dimension without dilation.

    Output i reads pixels `i s - before` to `i s - before + kernel - 1`. Outputs that read no
    pixel at all are zero and do not count. Of the others no read pixel that lies beside the image
    may fall on the image again: the first one a period further, and the last one a period back.

    Args:
        image: Pixels.
        kernel: Taps.
        stride: s.
        before: Padding before the first pixel, which may be negative: pixels left out.
        outputs: Number of outputs.
    """
    first = max(0, -((kernel - 1 - before) // stride))
    last = min(outputs - 1, (image - 1 + before) // stride)
    if last < first or image < 1:
        return PaddedAxis(0, 0, stride, 0, 0)
    lowest, highest = first * stride - before, last * stride - before + kernel - 1
    period = -(-max(image - lowest, highest + 1) // stride)
    return PaddedAxis(period, last - first + 1, stride, max(0, -lowest), image - max(0, lowest))


def enclosing_axis(axes: Sequence[PaddedAxis]) -> PaddedAxis:
    """Return an axis of the same taps and stride that contains each of them."""
    if len(axes) == 1:
        return axes[0]
    longest = max(axes, key=lambda one: one.period)
    outputs = max(one.outputs for one in axes)
    reach = (longest.period + outputs) * longest.stride  # beyond what is read
    return PaddedAxis(longest.period, outputs, longest.stride, 0, reach)
