"""Sets of distorted images side by side, each beside its originals."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from lit_intriguing.figures.canvas import GREY, INK, new_figure
from lit_intriguing.figures.digits import as_images
from lit_intriguing.figures.mosaic import PHOTOGRAPH, coloured, pasted, pixels_of, show
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


def pair_panels(panels: Sequence[Panel], *, columns: int | None = None, title: str = "") -> Figure:
    """Draw sets of pairs side by side: odd columns clean, even columns distorted.

    In the layout of Szegedy et al. 2013, figure 7.

    Args:
        panels: The sets, with images of one size.
        columns: Pairs side by side in a panel; None for 4, of photographs (64 pixels across and
            more) 1.
        title: Drawn above; wrapped to the figure's width.

    Returns:
        The figure.

    Raises:
        ValueError: There is no panel or no image, shapes differ or are not images', or `columns`
            is not positive.
    """
    if not panels:
        raise ValueError("nothing to draw: no panel")
    if columns is not None and columns < 1:
        raise ValueError(f"columns must be at least 1, not {columns}")
    image_width = as_images(panels[0].clean[:1]).shape[2]
    if columns is None:
        columns = 4 if image_width < PHOTOGRAPH else 1
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
        _draw(axis, picture, image_width, above, below)
    return figure


def _canvas(panel: Panel, columns: int) -> Tensor:
    """Return all images of a panel in one, (height, width, 3)."""
    if panel.clean.shape != panel.distorted.shape:
        raise ValueError(
            f"clean and distorted images differ in shape: {tuple(panel.clean.shape)} "
            f"and {tuple(panel.distorted.shape)}"
        )
    pair = [coloured(images) for images in (panel.clean, panel.distorted)]
    count, height, width = pair[0].shape[:3]
    small, gap = pixels_of(0.04, width), pixels_of(0.25, width, 2)
    rows, columns = -(-count // columns), min(columns, count)
    stride = 2 * width + small + gap

    def corner(number: int, part: int) -> tuple[int, int]:
        row, column = divmod(number, columns)
        return row * (height + small), column * stride + part * (width + small)

    return pasted(pair, corner, (rows * (height + small) - small, columns * stride - gap))


def _draw(axis: Axes, picture: Tensor, width: int, title: str, caption: str) -> None:
    axis.axis("on")
    show(axis, picture, width)
    axis.spines[:].set(color=GREY, linewidth=0.4)
    axis.set_title(title, fontsize=_TITLE, color=INK, loc="left")
    axis.set_xlabel(caption, fontsize=_CAPTION, color=INK, loc="left")


def _most_lines(texts: Sequence[str]) -> int:
    return max(len(text.splitlines()) for text in texts)
