"""Images at the top of units beside those at the top of random directions."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from lit_intriguing.figures.canvas import GREY, INK, new_figure
from lit_intriguing.figures.digits import as_images
from lit_intriguing.figures.wrapping import wrapped

_PANEL = 5.0
"""Width of a panel's images, in inches."""
_BESIDE = 1.5
"""Width of the names and numbers beside them."""


@dataclass(frozen=True)
class TopImages:
    """Some directions, each with the images that have the largest activation along it.

    Attributes:
        images: `(R, k, *S)`, pixels in [0, 1], largest activation first; S as for a figure of
            images: (D,) with D a square, (H, W), (1, H, W) or (3, H, W).
        names: Of the R directions.
        coherence: Of each.
        title: Drawn above.
    """

    images: Tensor
    names: Sequence[str]
    coherence: Sequence[float]
    title: str = ""


def top_images_figure(
    panels: Sequence[TopImages], *, mean: bool = True, title: str = "", caption: str = ""
) -> Figure:
    """Draw each direction's images in a row, panels side by side.

    In the layout of Szegedy et al. 2013, figures 1 to 4, with the coherence beside each row.

    Args:
        panels: Usually units and random directions, with images of one size.
        mean: Whether each row ends with the mean of its images.
        title: Drawn above.
        caption: Drawn below, for instance what coherence is.

    Returns:
        The figure.

    Raises:
        ValueError: There is no panel, no image, or names and rows differ in number.
    """
    if not panels:
        raise ValueError("nothing to draw: no panel")
    pictures = [_canvas(panel, mean) for panel in panels]
    tallest = max(picture.shape[0] / picture.shape[1] for picture in pictures)
    width = len(panels) * (_PANEL + _BESIDE)
    heading, below = wrapped(title, width - 0.2, 10), wrapped(caption, width - 0.2, 7)
    lines = len(heading.splitlines()) + len(below.splitlines())
    figure = new_figure(width, _PANEL * tallest + 0.45 + 0.18 * lines)
    figure.suptitle(heading, fontsize=10, color=INK, x=0.01, ha="left")
    figure.supxlabel(below, fontsize=7, color=GREY)
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for axis, panel, picture in zip(axes, panels, pictures, strict=True):
        _draw(axis, panel, picture, mean)
    return figure


def _canvas(panel: TopImages, mean: bool) -> Tensor:
    """All images of a panel in one, (height, width, 3): an axis for each would take seconds."""
    if panel.images.ndim < 3 or not len(panel.images):
        raise ValueError(f"nothing to draw: images of shape {tuple(panel.images.shape)}")
    rows, count = panel.images.shape[:2]
    if not rows == len(panel.names) == len(panel.coherence):
        raise ValueError(
            f"{rows} rows, {len(panel.names)} names and {len(panel.coherence)} coherences"
        )
    images = as_images(panel.images.flatten(0, 1)).clamp(0, 1)
    if images.ndim == 3:
        images = images.unsqueeze(-1).expand(-1, -1, -1, 3)
    images = images.reshape(rows, count, *images.shape[1:])
    height, width = images.shape[2:4]
    gap, wide = _gaps(width)
    across = count * (width + gap) - gap
    canvas = torch.ones(rows * (height + gap) - gap, across + mean * (wide + width), 3)
    for row in range(rows):
        y = slice(row * (height + gap), row * (height + gap) + height)
        for column in range(count):
            x = column * (width + gap)
            canvas[y, x : x + width] = images[row, column]
        if mean:
            canvas[y, across + wide :] = images[row].mean(0)
    return canvas


def _gaps(width: int) -> tuple[int, int]:
    """Return the pixels between images, and before the mean."""
    return max(1, round(0.06 * width)), max(2, round(0.35 * width))


def _draw(axis: Axes, panel: TopImages, picture: Tensor, mean: bool) -> None:
    rows = len(panel.names)
    full_height, full_width = picture.shape[:2]
    step = (full_height + _gaps_of(panel)[0]) / rows
    middles = [row * step + (step - _gaps_of(panel)[0]) / 2 - 0.5 for row in range(rows)]
    smooth = step >= 64
    axis.imshow(picture.numpy(), interpolation="antialiased" if smooth else "nearest")
    axis.set_yticks(middles, list(panel.names), fontsize=8)
    axis.set_xticks([])
    axis.tick_params(length=0, labelcolor=INK)
    axis.spines[:].set_visible(False)
    axis.set_title(panel.title, fontsize=9, color=INK, loc="left")
    if mean:
        axis.annotate(
            "mean", (full_width - step / 2, -0.5), xytext=(0, 3), textcoords="offset points",
            ha="center", fontsize=7, color=GREY,
        )  # fmt: skip
    for middle, coherence in zip(middles, panel.coherence, strict=True):
        axis.annotate(
            f"{coherence:.2f}", (full_width, middle), xytext=(4, 0), textcoords="offset points",
            va="center", fontsize=8, color=INK, annotation_clip=False,
        )  # fmt: skip


def _gaps_of(panel: TopImages) -> tuple[int, int]:
    first = as_images(panel.images[0, :1])
    return _gaps(first.shape[2])
