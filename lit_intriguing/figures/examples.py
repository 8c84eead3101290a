"""Adversarial examples of one moment of a run, and how they changed over the run."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from torch import Tensor

from lit_intriguing.figures.canvas import GREY, INK
from lit_intriguing.figures.difference import chosen_factor, shown_difference
from lit_intriguing.figures.digits import as_images
from lit_intriguing.figures.history import (
    Moment,
    draw_history,
    history_panels,
    with_room_below,
)
from lit_intriguing.figures.mosaic import coloured, pasted, pixels_of, show, write
from lit_intriguing.figures.wrapping import wrapped
from lit_intriguing.types import Bounds

COLUMNS = 8
"""Images side by side."""

CLASS_LEGEND = (
    "above: label; below: prediction of the adversarial image, and its distortion (RMS change); "
    "grey: goal not reached"
)
"""What the captions are where there are classes."""

_TEXT = 0.85
"""Width of a caption in inches."""


@dataclass(frozen=True)
class DrawnExamples:
    """The examples to draw.

    Attributes:
        clean: (N, *S), pixels in [0, 1] for images.
        adversarial: (N, *S).
        before: (N,) captions of the clean ones, such as their labels.
        after: (N,) captions of the adversarial ones, such as what is predicted.
        success: (N,) bool, whether the goal was reached.
        distortion: (N,) root mean square change.
    """

    clean: Tensor
    adversarial: Tensor
    before: Sequence[object]
    after: Sequence[object]
    success: Sequence[bool]
    distortion: Sequence[float]


def drawn_as_images(shape: Sequence[int]) -> bool:
    """Return whether a batch of this shape (N, *S) is drawn as images.

    (N, H, W), (N, 1, H, W) and (N, 3, H, W) are; (N, D) where D is the square of at least 8, as
    for flattened digits: few features are hardly pixels.

    >>> drawn_as_images((5, 784)), drawn_as_images((5, 16)), drawn_as_images((5, 3, 2, 2))
    (True, False, True)
    """
    try:
        as_images(torch.empty(1, *shape[1:]))
    except ValueError:
        return False
    return len(shape) > 2 or shape[1] >= 64


def drawn_as_units(shape: Sequence[int]) -> bool:
    """Return whether a batch of this shape is drawn as units: (N, D), or channels, (N, C, H, W)."""
    return len(shape) in (2, 4) and all(size > 0 for size in shape)


def examples_figure(
    drawn: DrawnExamples,
    history: Sequence[Moment],
    *,
    images: bool = True,
    magnify: float | None = None,
    title: str = "",
) -> Figure:
    """Draw clean, difference and adversarial, and below them distortion and success over steps.

    Curves are drawn where there are two moments or more and there is something to see: success
    that never changes is written, not drawn.

    Images stand in columns, the difference shown as in Szegedy et al. 2013, figure 5: magnified
    and shifted by half the grey scale, so that grey means unchanged. Units of a layer stand side
    by side in one row for each example; those of a convolution are its channels, each the root
    mean square over positions. Examples without success have grey captions.

    Args:
        drawn: The examples of the last moment.
        history: All moments, in the order of their steps.
        images: Whether the examples are images, see `drawn_as_images`; else units.
        magnify: Factor on the difference (the paper: 10, for photographs); None for the largest
            round one that shows nearly all of it without clipping.
        title: Drawn above.

    Returns:
        The figure.

    Raises:
        ValueError: The examples are of another shape, or `magnify` is not positive.
    """
    height = images_height(drawn) if images else 0.9 + 0.24 * len(drawn.before)
    panels = history_panels(history)
    figure, top, bottom = with_room_below(height, bool(panels))
    (draw_images if images else draw_units)(top, drawn, magnify)
    figure.suptitle(title, fontsize=10, color=INK, x=0.01, ha="left")
    if bottom is not None:
        draw_history(bottom, history, panels)
    return figure


def as_pixels(clean: Tensor, adversarial: Tensor, bounds: Bounds) -> tuple[Tensor, Tensor]:
    """Map both to [0, 1], from the bounds or, if they are infinite, from the clean range."""
    lower, upper = bounds.tensors_like(clean)
    if not bool(lower.isfinite().all() and upper.isfinite().all()):
        lower, upper = clean.amin(), clean.amax()
    width = (upper - lower).clamp(min=torch.finfo(clean.dtype).tiny)
    return (clean - lower) / width, (adversarial - lower) / width


def images_height(drawn: DrawnExamples) -> float:
    """Return the height in inches at which pixels are square."""
    rows, columns = as_images(drawn.clean[:1]).shape[1:3]
    blocks = -(-len(drawn.before) // COLUMNS)
    return blocks * (3 * min(rows / columns, 2.0) * 0.85 + 0.75) + 0.15


def draw_images(
    figure: SubFigure,
    drawn: DrawnExamples,
    magnify: float | None,
    legend: str = CLASS_LEGEND,
) -> None:
    """Draw images in columns: clean, difference, adversarial.

    Args:
        figure: Where.
        drawn: The examples.
        magnify: Factor on the difference; None to choose it.
        legend: What stands above and below the images; drawn below all.
    """
    difference, factor = shown_difference(drawn.clean, drawn.adversarial, magnify)
    rows = [coloured(images) for images in (drawn.clean, difference, drawn.adversarial)]
    names = ("clean", f"difference\n× {factor:g}", "adversarial")  # noqa: RUF001
    blocks = -(-len(rows[0]) // COLUMNS)
    figure.supxlabel(legend, fontsize=7, color=GREY)
    axes = figure.subplots(blocks, 1, squeeze=False)[:, 0]
    for block, axis in enumerate(axes):
        part = slice(block * COLUMNS, (block + 1) * COLUMNS)
        _draw_block(axis, [row[part] for row in rows], names)
        _write_captions(axis, drawn, part, *rows[0].shape[1:3])


def _draw_block(axis: Axes, rows: Sequence[Tensor], names: Sequence[str]) -> None:
    """Draw many images on one axis: a figure of 48 axes takes seconds to lay out."""
    height, width = rows[0].shape[1:3]
    gap = _gap(width)
    # With a place for each column even where the last block is not full.
    size = 3 * (height + gap) - gap, COLUMNS * (width + gap) - gap
    picture = pasted(rows, lambda column, row: (row * (height + gap), column * (width + gap)), size)
    show(axis, picture, width)
    axis.set_yticks([row * (height + gap) + height / 2 for row in range(3)], names, fontsize=8)
    axis.tick_params(length=0, labelcolor=INK)
    axis.spines[:].set_visible(False)


def _write_captions(axis: Axes, drawn: DrawnExamples, part: slice, height: int, width: int) -> None:
    gap = _gap(width)
    bottom = 3 * (height + gap) - gap
    for column, index in enumerate(range(len(drawn.before))[part]):
        x = column * (width + gap) + width / 2 - 0.5
        colour = INK if drawn.success[index] else GREY
        above, after = (
            wrapped(f"{texts[index]}", _TEXT, 8) for texts in (drawn.before, drawn.after)
        )
        write(axis, above, (x, -0.5), 8, INK, up=True)
        below = f"{after}\n{drawn.distortion[index]:#.3g}"
        write(axis, below, (x, bottom - 0.5), 8, colour)


def _gap(width: int) -> int:
    return pixels_of(0.08, width)


def as_units(batch: Tensor) -> Tensor:
    """Bring a batch of activations into one value for each unit.

    Args:
        batch: (N, D), or (N, C, H, W), of which each channel's root mean square is taken.

    Returns:
        (N, D) or (N, C), float32, on the CPU.

    Raises:
        ValueError: The batch is empty or has another shape.
    """
    if not drawn_as_units(batch.shape):
        raise ValueError(
            f"units of a batch of shape {tuple(batch.shape)} are not drawn: give (N, D) or "
            "(N, C, H, W)"
        )
    batch = batch.detach().to("cpu", torch.float32)
    return batch if batch.ndim == 2 else batch.square().mean((2, 3)).sqrt()


def draw_units(figure: SubFigure, drawn: DrawnExamples, magnify: float | None) -> None:
    """Draw one value for each unit, examples in rows: clean, difference, adversarial.

    Args:
        figure: Where.
        drawn: The examples.
        magnify: Factor on the difference; None to choose it.
    """
    signed = drawn.clean.ndim == 2
    clean, adversarial = as_units(drawn.clean), as_units(drawn.adversarial)
    difference = as_units(drawn.adversarial - drawn.clean)
    largest = max(float(clean.abs().max()), float(adversarial.abs().max())) or 1.0
    factor = chosen_factor(difference / (2 * largest), magnify)
    axes = figure.subplots(1, 3, sharey=True)
    name = f"difference × {factor:g}"  # noqa: RUF001
    for axis, values, title in zip(
        axes, (clean, difference * factor, adversarial), ("clean", name, "adversarial"), strict=True
    ):
        picture = axis.imshow(
            values.numpy(), aspect="auto", interpolation="nearest", cmap="RdBu_r",
            vmin=-largest, vmax=largest,
        )  # fmt: skip
        axis.set_title(title, fontsize=8, color=INK)
        axis.set_xlabel("unit" if signed else "channel (RMS over positions)", fontsize=7)
        axis.tick_params(labelsize=7, length=2)
        axis.spines[:].set(color=GREY, linewidth=0.5)
    predictions = zip(drawn.before, drawn.after, strict=True)
    axes[0].set_yticks(range(len(clean)), [f"{b} → {a}" for b, a in predictions], fontsize=7)
    for label, success in zip(axes[0].get_yticklabels(), drawn.success, strict=True):
        label.set_color(INK if success else GREY)
    bar = figure.colorbar(picture, ax=list(axes), fraction=0.03, pad=0.01)
    bar.ax.tick_params(labelsize=7, length=2)
    bar.outline.set_visible(False)
