"""Segmentations: images beside their labels and predictions, clean and adversarial."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from matplotlib import colormaps
from matplotlib.figure import SubFigure
from torch import Tensor

from lit_intriguing.figures.canvas import GREY, INK
from lit_intriguing.figures.mosaic import pixels_of, show, write

_NAMES = ("image", "labels", "prediction", "adversarial", "its prediction")
_ACROSS = 2
"""Examples side by side."""
_IGNORED = 0.6
"""Grey of labels that are no class."""


@dataclass(frozen=True)
class DrawnMasks:
    """The examples to draw.

    Attributes:
        clean: `(N, C, H, W)`, in [0, 1]; of more than three channels the first three are drawn.
        adversarial: `(N, C, H, W)`.
        labels: `(N, H, W)`; below 0 and 255: no class.
        before: Predicted classes of the clean examples, `(N, H, W)`.
        after: Of the adversarial ones.
        captions: What stands below each example.
    """

    clean: Tensor
    adversarial: Tensor
    labels: Tensor
    before: Tensor
    after: Tensor
    captions: Sequence[str]


def masks_height(drawn: DrawnMasks) -> float:
    """Return the height in inches at which pixels are square."""
    height, width = drawn.labels.shape[-2:]
    rows = -(-len(drawn.captions) // _ACROSS)
    return rows * (7.6 / (_ACROSS * len(_NAMES)) * min(height / width, 3.0) + 0.2) + 0.2


def draw_masks(figure: SubFigure, drawn: DrawnMasks) -> None:
    """Draw each example in a row: image, labels, prediction, adversarial image, its prediction.

    Args:
        figure: Where.
        drawn: The examples.
    """
    tiles = [
        _coloured(drawn.clean), _classes(drawn.labels), _classes(drawn.before),
        _coloured(drawn.adversarial), _classes(drawn.after),
    ]  # fmt: skip
    height, width = tiles[0].shape[1:3]
    small, between, below = (pixels_of(share, width) for share in (0.06, 0.3, 0.3))
    block = len(tiles) * (width + small) - small
    rows = -(-len(drawn.captions) // _ACROSS)
    size = rows * (height + below), _ACROSS * (block + between) - between
    canvas = torch.ones(*size, 3)
    axis = figure.subplots()
    for number, caption in enumerate(drawn.captions):
        row, column = divmod(number, _ACROSS)
        y, left = row * (height + below), column * (block + between)
        for place, tile in enumerate(tiles):
            x = left + place * (width + small)
            canvas[y : y + height, x : x + width] = tile[number]
            if row == 0:
                write(axis, _NAMES[place], (x + width / 2, -0.5), 7, GREY, up=True)
        write(axis, caption, (left + block / 2, y + height - 0.5), 7, INK)
    show(axis, canvas, width)
    axis.axis("off")


def _coloured(images: Tensor) -> Tensor:
    """Return images `(N, H, W, 3)` in [0, 1]."""
    some = images[:, :3] if images.shape[1] >= 3 else images[:, :1].expand(-1, 3, -1, -1)
    return some.detach().float().cpu().clamp(0, 1).movedim(1, -1)


def _classes(labels: Tensor) -> Tensor:
    """Return a colour for each class, `(N, H, W, 3)`: class 0 is dark."""
    whole = labels.detach().cpu().long()
    table = torch.tensor(colormaps["tab20"].colors)  # type: ignore[attr-defined]
    table = torch.cat([torch.full((1, 3), 0.12), table])
    coloured = table[torch.where(whole > 0, (whole - 1) % 20 + 1, 0)]
    ignored = (whole < 0) | (whole == 255)
    return torch.where(ignored.unsqueeze(-1), torch.tensor(_IGNORED), coloured).float()
