"""Sets of distorted images side by side, each beside its originals."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from lit_intriguing.figures.canvas import GREY, INK, new_figure
from lit_intriguing.figures.digits import as_images
from lit_intriguing.figures.wrapping import wrapped

PANELS = 3
"""Panels side by side."""
_WIDTH = 2.6
"""Of a panel, in inches."""
_TITLE, _CAPTION = 9.0, 7.5
"""Sizes of the fonts, in points."""


@dataclass(frozen=True)
class Panel:
    """One set of images.

    Attributes:
        clean: (N, D) with D a square, (N, H, W), (N, 1, H, W) or (N, 3, H, W), pixels in [0, 1].
        distorted: As `clean`. Values outside [0, 1] are drawn as black or white.
        title: Drawn above; wrapped to the panel's width.
        caption: Drawn below; wrapped likewise.
    """

    clean: Tensor
    distorted: Tensor
    title: str = ""
    caption: str = ""


def pair_panels(panels: Sequence[Panel], *, columns: int = 4, title: str = "") -> Figure:
    """Draw sets of pairs side by side: odd columns clean, even columns distorted.

    In the layout of Szegedy et al. 2013, figure 7.

    Args:
        panels: The sets, with images of one size.
        columns: Pairs side by side in a panel.
        title: Drawn above; wrapped to the figure's width.

    Returns:
        The figure.

    Raises:
        ValueError: There is no panel or no image, shapes differ or are not images', or `columns`
            is not positive.
    """
    if not panels:
        raise ValueError("nothing to draw: no panel")
    if columns < 1:
        raise ValueError(f"columns must be at least 1, not {columns}")
    pictures = [_canvas(panel, columns) for panel in panels]
    across = min(len(panels), PANELS)
    down = -(-len(panels) // across)
    tallest = max(picture.shape[0] / picture.shape[1] for picture in pictures)
    titles = [wrapped(panel.title, _WIDTH, _TITLE) for panel in panels]
    captions = [wrapped(panel.caption, _WIDTH, _CAPTION) for panel in panels]
    heading = wrapped(title, across * _WIDTH, 10)
    text = 0.2 + 0.16 * _most_lines(titles) + 0.15 * _most_lines(captions)
    height = down * (_WIDTH * tallest + text) + 0.1 * bool(title) + 0.2 * _most_lines([heading])
    figure = new_figure(across * (_WIDTH + 0.15), height)
    figure.suptitle(heading, fontsize=10, color=INK, x=0.01, ha="left")
    axes = list(figure.subplots(down, across, squeeze=False).flat)
    for axis in axes:
        axis.axis("off")
    for axis, picture, above, below in zip(axes, pictures, titles, captions, strict=False):
        _draw(axis, picture, above, below)
    return figure


def _canvas(panel: Panel, columns: int) -> Tensor:
    """Return all images of a panel in one, (height, width, 3): many axes would take seconds."""
    if panel.clean.shape != panel.distorted.shape:
        raise ValueError(
            f"clean and distorted images differ in shape: {tuple(panel.clean.shape)} "
            f"and {tuple(panel.distorted.shape)}"
        )
    pair = [_coloured(images) for images in (panel.clean, panel.distorted)]
    count, height, width = pair[0].shape[:3]
    small, gap = max(1, round(0.04 * width)), max(2, round(0.25 * width))
    rows, columns = -(-count // columns), min(columns, count)
    stride = 2 * width + small + gap
    canvas = torch.ones(rows * (height + small) - small, columns * stride - gap, 3)
    for number in range(count):
        row, column = divmod(number, columns)
        y, left = row * (height + small), column * stride
        for x, images in zip((left, left + width + small), pair, strict=True):
            canvas[y : y + height, x : x + width] = images[number]
    return canvas


def _coloured(batch: Tensor) -> Tensor:
    images = as_images(batch).clamp(0, 1)
    return images if images.ndim == 4 else images.unsqueeze(-1).expand(-1, -1, -1, 3)


def _draw(axis: Axes, picture: Tensor, title: str, caption: str) -> None:
    axis.axis("on")
    axis.imshow(picture.numpy(), interpolation="none")
    axis.set(xticks=[], yticks=[])
    axis.spines[:].set(color=GREY, linewidth=0.4)
    axis.set_title(title, fontsize=_TITLE, color=INK, loc="left")
    axis.set_xlabel(caption, fontsize=_CAPTION, color=INK, loc="left")


def _most_lines(texts: Sequence[str]) -> int:
    return max(len(text.splitlines()) for text in texts)
