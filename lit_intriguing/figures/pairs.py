"""Images beside their distorted counterparts, with what is added between them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from lit_intriguing.figures.canvas import GREY, INK, new_figure
from lit_intriguing.figures.difference import shown_difference
from lit_intriguing.figures.mosaic import PHOTOGRAPH, coloured, pasted, pixels_of, show, write
from lit_intriguing.figures.wrapping import wrapped

_ACROSS = 8.4
"""Width of the figure in inches, which is filled with columns."""
_SMALL, _LARGE = 0.62, 1.3
"""Longer side of an image in inches: of few pixels, of a photograph."""
_PIXELS = 32
"""Pixels across at least."""
_SIZE, _LINE = 7.0, 0.13
"""Of the captions: the font in points, the height of a line in inches."""


@dataclass(frozen=True)
class PairCaptions:
    """What stands below the images.

    Attributes:
        clean: Of each original; long ones are wrapped to its width.
        adversarial: Of each adversarial image, likewise.
        failed: Which adversarial images have grey captions.
    """

    clean: Sequence[str]
    adversarial: Sequence[str]
    failed: Sequence[bool]


@dataclass(frozen=True)
class _Layout:
    """Places in the picture, in pixels of the images."""

    height: int
    width: int
    parts: int
    columns: int
    rows: int
    small: int
    gap: int
    below: int

    @property
    def block(self) -> int:
        return self.parts * (self.width + self.small) - self.small

    @property
    def size(self) -> tuple[int, int]:
        across = self.columns * (self.block + self.gap) - self.gap
        return self.rows * (self.height + self.below) - self.below, across

    def corner(self, number: int, part: int) -> tuple[int, int]:
        row, column = divmod(number, self.columns)
        x = column * (self.block + self.gap) + part * (self.width + self.small)
        return row * (self.height + self.below), x


def adversarial_pairs(
    clean: Tensor,
    adversarial: Tensor,
    caption: str = "",
    *,
    columns: int | None = None,
    captions: PairCaptions | None = None,
    difference: bool = False,
    magnify: float | None = None,
) -> Figure:
    """Draw each image beside its adversarial counterpart, pair by pair.

    In the style of Szegedy et al. 2013, figure 7; with the difference between them, of figure 5:
    magnified and shifted by half the grey scale, so that grey means unchanged.

    Args:
        clean: (N, D) with D a square, (N, H, W), (N, 1, H, W) or (N, 3, H, W), pixels in [0, 1].
        adversarial: As `clean`. Values outside [0, 1] are drawn as black or white.
        caption: Drawn below, such as accuracy and average distortion; wrapped to the width.
        columns: Pairs side by side, where there are so many; None for as many as fit.
        captions: What stands below the images.
        difference: Whether the difference stands between the two.
        magnify: Factor on it (the paper: 10); None for the largest round one that shows nearly
            all of it without clipping. It is written above.

    Returns:
        The figure. Images of 64 pixels across and more are drawn larger, and smoothed.

    Raises:
        ValueError: There is no image, the shapes differ or are not images', there is not a caption
            for each image, or `columns` or `magnify` is not positive.
    """
    _check(clean, adversarial, columns, captions)
    images, names = [clean, adversarial], ["original", "adversarial"]
    if difference:
        middle, factor = shown_difference(clean, adversarial, magnify)
        images.insert(1, middle)
        names.insert(1, f"difference × {factor:g}")  # noqa: RUF001
    parts = [_with_pixels(coloured(one)) for one in images]
    layout, inches = _laid_out(parts, columns)
    captions = None if captions is None else _fitted(captions, layout, inches)
    lines = 0 if captions is None else _most_lines([*captions.clean, *captions.adversarial])
    layout = replace(layout, below=pixels_of((0.08 + _LINE * lines) / inches, 1))
    return _drawn(parts, names, layout, inches, captions, lines, caption)


def _check(
    clean: Tensor, adversarial: Tensor, columns: int | None, captions: PairCaptions | None
) -> None:
    if clean.shape != adversarial.shape:
        raise ValueError(
            f"clean and adversarial images differ in shape: {tuple(clean.shape)} "
            f"and {tuple(adversarial.shape)}"
        )
    if columns is not None and columns < 1:
        raise ValueError(f"columns must be at least 1, not {columns}")
    if captions is not None:
        for name, texts in vars(captions).items():
            if len(texts) != len(clean):
                raise ValueError(f"captions.{name}: {len(texts)} for {len(clean)} images")


def _with_pixels(images: Tensor) -> Tensor:
    """Make pixels of few large ones, so that gaps can be narrower than a pixel was."""
    times = max(1, round(_PIXELS / images.shape[2]))
    return images.repeat_interleave(times, 1).repeat_interleave(times, 2)


def _laid_out(parts: Sequence[Tensor], columns: int | None) -> tuple[_Layout, float]:
    """Return the layout without room for captions, and the inches of a pixel."""
    count, height, width = parts[0].shape[:3]
    inches = (_SMALL if width < PHOTOGRAPH else _LARGE) / max(height, width)
    small = pixels_of(0.04, width)
    gap = pixels_of(0.34 if width < PHOTOGRAPH else 0.2, width)
    layout = _Layout(height, width, len(parts), 1, 1, small, gap, 0)
    if columns is None:
        columns = max(1, int((_ACROSS / inches + gap) / (layout.block + gap)))
    columns = min(columns, count)
    return replace(layout, columns=columns, rows=-(-count // columns)), inches


def _fitted(captions: PairCaptions, layout: _Layout, inches: float) -> PairCaptions:
    """Wrap the captions to the width of an image and of what is free beside it."""
    room = (layout.width + layout.small) * inches
    clean, adversarial = (
        [wrapped(text, room, _SIZE) for text in texts]
        for texts in (captions.clean, captions.adversarial)
    )
    return replace(captions, clean=clean, adversarial=adversarial)


def _drawn(
    parts: Sequence[Tensor],
    names: Sequence[str],
    layout: _Layout,
    inches: float,
    captions: PairCaptions | None,
    lines: int,
    caption: str,
) -> Figure:
    height, width = (pixels * inches for pixels in layout.size)
    across = max(width + 0.2, 4.5)
    below = wrapped(caption, 0.92 * across, _SIZE)
    room = 0.35 + _LINE * lines + 0.16 * len(below.splitlines())
    figure = new_figure(across, height + room)
    axis = figure.subplots()
    axis.spines[:].set_visible(False)
    show(axis, pasted(parts, layout.corner, layout.size), layout.width)
    _frame(axis, layout, len(parts[0]))
    for column in range(layout.columns):
        for part, name in enumerate(names):
            _, x = layout.corner(column, part)
            write(axis, name, (x + layout.width / 2 - 0.5, -0.5), 6, GREY, up=True)
    if captions is not None:
        _write_captions(axis, layout, captions)
    figure.supxlabel(below, fontsize=_SIZE, color=INK)
    return figure


def _frame(axis: Axes, layout: _Layout, count: int) -> None:
    """Draw a thin line around each image: white ones would melt into the page."""
    corners = [layout.corner(n, part) for n in range(count) for part in range(layout.parts)]
    frames = [Rectangle((x - 0.5, y - 0.5), layout.width, layout.height) for y, x in corners]
    axis.add_collection(
        PatchCollection(frames, facecolor="none", edgecolor=GREY, linewidth=0.4, clip_on=False),
        autolim=False,
    )


def _write_captions(axis: Axes, layout: _Layout, captions: PairCaptions) -> None:
    texts = zip(captions.clean, captions.adversarial, captions.failed, strict=True)
    for number, (clean, adversarial, failed) in enumerate(texts):
        for part, text, colour in (
            (0, clean, INK),
            (layout.parts - 1, adversarial, GREY if failed else INK),
        ):
            y, x = layout.corner(number, part)
            place = x + layout.width / 2 - 0.5, y + layout.height - 0.5
            write(axis, text, place, _SIZE, colour)


def _most_lines(texts: Sequence[str]) -> int:
    return max((len(text.splitlines()) for text in texts), default=0)
