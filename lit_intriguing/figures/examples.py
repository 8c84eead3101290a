"""Adversarial examples of one moment of a run, and how they changed over the run."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from torch import Tensor

from lit_intriguing.figures.canvas import GREY, INK, PALETTE, new_figure
from lit_intriguing.figures.digits import as_images
from lit_intriguing.types import Bounds

COLUMNS = 8
"""Images side by side."""

_FACTORS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


@dataclass(frozen=True)
class Moment:
    """What was measured at one step.

    Attributes:
        step: Optimiser steps taken.
        success: Fraction of the examples that reached their goal.
        mean: Mean distortion of those that did; NaN if none.
        median: Median distortion, likewise.
    """

    step: int
    success: float
    mean: float
    median: float


@dataclass(frozen=True)
class DrawnExamples:
    """The examples to draw.

    Attributes:
        clean: (N, *S), pixels in [0, 1] for images.
        adversarial: (N, *S).
        before: (N,) predicted classes of the clean ones.
        after: (N,) predicted classes of the adversarial ones.
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
    if magnify is not None and not magnify > 0:
        raise ValueError(f"magnify must be positive, not {magnify}")
    height = images_height(drawn) if images else 0.9 + 0.24 * len(drawn.before)
    figure = new_figure(8.0, height + 2.3)
    top, bottom = figure.subfigures(2, 1, squeeze=False, height_ratios=[height, 2.0])[:, 0]
    (draw_images if images else draw_units)(top, drawn, magnify)
    figure.suptitle(title, fontsize=10, color=INK, x=0.01, ha="left")
    _draw_history(bottom, history)
    return figure


def as_pixels(clean: Tensor, adversarial: Tensor, bounds: Bounds) -> tuple[Tensor, Tensor]:
    """Map both to [0, 1], from the bounds or, if they are infinite, from the clean range."""
    lower, upper = bounds.tensors_like(clean)
    if not bool(lower.isfinite().all() and upper.isfinite().all()):
        lower, upper = clean.amin(), clean.amax()
    width = (upper - lower).clamp(min=torch.finfo(clean.dtype).tiny)
    return (clean - lower) / width, (adversarial - lower) / width


def factor_for(difference: Tensor) -> float:
    """Return the largest round factor that leaves 99% of the changed elements within half a range.

    Args:
        difference: Any shape, in units of the range that is drawn.

    >>> factor_for(torch.tensor([0.04, -0.04, 0.0]))
    10.0
    """
    changes = difference.abs().flatten().double()
    changes = changes[changes > 1e-4 * changes.max()] if changes.numel() else changes
    if not changes.numel():
        return 1.0
    # `torch.quantile` refuses more than 16 million elements.
    large = float(changes.kthvalue(max(1, round(0.99 * changes.numel()))).values)
    return float(max([f for f in _FACTORS if f * large < 0.501], default=1))


def images_height(drawn: DrawnExamples) -> float:
    """Return the height in inches at which pixels are square."""
    rows, columns = as_images(drawn.clean[:1]).shape[1:3]
    blocks = -(-len(drawn.before) // COLUMNS)
    return blocks * (3 * min(rows / columns, 2.0) * 0.85 + 0.75) + 0.15


def draw_images(
    figure: SubFigure,
    drawn: DrawnExamples,
    magnify: float | None,
    captions: str = "prediction of the clean image; below: of the adversarial one",
) -> None:
    """Draw images in columns: clean, difference, adversarial.

    Args:
        figure: Where.
        drawn: The examples.
        magnify: Factor on the difference; None to choose it.
        captions: What stands above the images, and below them beside the distortion.
    """
    clean, adversarial = as_images(drawn.clean), as_images(drawn.adversarial)
    difference = adversarial - clean
    factor = factor_for(difference) if magnify is None else magnify
    rows = (clean, difference * factor + 0.5, adversarial)
    names = ("clean", f"difference\n× {factor:g}", "adversarial")  # noqa: RUF001
    blocks = -(-len(clean) // COLUMNS)
    figure.supxlabel(
        f"above: {captions}, and its distortion (RMS change)",
        fontsize=7,
        color=GREY,
    )
    axes = figure.subplots(blocks, 1, squeeze=False)[:, 0]
    for block, axis in enumerate(axes):
        part = slice(block * COLUMNS, (block + 1) * COLUMNS)
        _draw_block(axis, [row[part] for row in rows], names)
        _write_captions(axis, drawn, part, clean.shape[1], clean.shape[2])


def _draw_block(axis: Axes, rows: Sequence[Tensor], names: Sequence[str]) -> None:
    """Draw many images on one axis: a figure of 48 axes takes seconds to lay out."""
    count, height, width = rows[0].shape[:3]
    gap = _gap(width)
    # White, with a place for each column even where the last block is not full.
    canvas = torch.ones(3 * (height + gap) - gap, COLUMNS * (width + gap) - gap, 3)
    for row, images in enumerate(rows):
        coloured = images if images.ndim == 4 else images.unsqueeze(-1).expand(-1, -1, -1, 3)
        for column in range(count):
            y, x = row * (height + gap), column * (width + gap)
            canvas[y : y + height, x : x + width] = coloured[column].clamp(0, 1)
    axis.imshow(canvas.numpy(), interpolation="nearest" if width < 64 else "antialiased")
    axis.set_yticks([row * (height + gap) + height / 2 for row in range(3)], names, fontsize=8)
    axis.set_xticks([])
    axis.tick_params(length=0, labelcolor=INK)
    axis.spines[:].set_visible(False)


def _write_captions(axis: Axes, drawn: DrawnExamples, part: slice, height: int, width: int) -> None:
    gap = _gap(width)
    bottom = 3 * (height + gap) - gap
    indices = range(len(drawn.before))[part]
    for column, index in enumerate(indices):
        x = column * (width + gap) + width / 2
        colour = INK if drawn.success[index] else GREY
        after = f"{drawn.after[index]}" if drawn.success[index] else f"{drawn.after[index]}, failed"
        for y, up, text, size in (
            (-0.5, 3, f"{drawn.before[index]}", 9),
            (bottom - 0.5, -3, f"{after}\n{drawn.distortion[index]:.3g}", 8),
        ):
            axis.annotate(
                text, (x, y), xytext=(0, up), textcoords="offset points", ha="center",
                va="bottom" if up > 0 else "top", fontsize=size, color=colour,
                annotation_clip=False,
            )  # fmt: skip


def _gap(width: int) -> int:
    return max(1, round(0.08 * width))


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
    factor = factor_for(difference / (2 * largest)) if magnify is None else magnify
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


def _draw_history(figure: SubFigure, history: Sequence[Moment]) -> None:
    steps = [moment.step for moment in history]
    left, right = figure.subplots(1, 2, width_ratios=[3, 2])
    dot = {"marker": "o", "markersize": 3, "linewidth": 1.4}
    left.plot(steps, [m.mean for m in history], color=PALETTE[0], label="mean", **dot)
    left.plot(
        steps, [m.median for m in history], color=PALETTE[1], label="median", linestyle="--", **dot
    )
    left.legend(frameon=False, fontsize=7)
    left.set_title("distortion of those that succeed (RMS)", fontsize=8, color=INK, loc="left")
    right.plot(steps, [100 * m.success for m in history], color=PALETTE[2], **dot)
    right.set_title("success, %", fontsize=8, color=INK, loc="left")
    right.set_ylim(-4, 104)
    left.set_ylim(bottom=0, top=1.1 * left.get_ylim()[1])
    for axis in (left, right):
        axis.set_xlabel("step", fontsize=8, color=INK)
        axis.tick_params(labelsize=7)
        axis.grid(color=GREY, alpha=0.25, linewidth=0.6)
        axis.spines[["top", "right"]].set_visible(False)
        axis.set_xlim(0, 1.04 * max(steps, default=1))
        axis.xaxis.get_major_locator().set_params(integer=True, nbins=6)
