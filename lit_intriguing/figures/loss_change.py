"""Adversarial examples without class labels: the loss before and after, and over the run."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure, SubFigure

from lit_intriguing.figures.canvas import INK, PALETTE, new_figure
from lit_intriguing.figures.examples import (
    DrawnExamples,
    draw_images,
    draw_units,
    images_height,
)
from lit_intriguing.figures.history import style_steps, with_room_below


@dataclass(frozen=True)
class LossMoment:
    """What was measured at one step.

    Attributes:
        step: Optimiser steps taken.
        loss_clean: Mean loss of the clean examples.
        loss: Of the adversarial ones.
        distortion: Mean distortion.
        flipped: Share of pixels whose prediction flips; NaN where it is no segmentation.
    """

    step: int
    loss_clean: float
    loss: float
    distortion: float
    flipped: float


Draw = Callable[[SubFigure], None]


def loss_figure(
    history: Sequence[LossMoment], top: tuple[Draw, float] | None = None, title: str = ""
) -> Figure:
    """Draw losses over the steps so far, and examples above them.

    Beside examples, curves are drawn where there are two moments or more.

    Args:
        history: All moments, in the order of their steps.
        top: Draws the examples, and its height in inches; None for none.
        title: Drawn above.

    Returns:
        The figure.
    """
    if top is None:
        figure = new_figure(8.0, 2.3)
        (bottom,) = figure.subfigures(1, 1, squeeze=False)[:, 0]
    else:
        figure, above, bottom = with_room_below(top[1], len(history) > 1)
        top[0](above)
    figure.suptitle(title, fontsize=10, color=INK, x=0.01, ha="left")
    if bottom is not None:
        _draw_history(bottom, history)
    return figure


def drawn_pairs(drawn: DrawnExamples, images: bool, magnify: float | None) -> tuple[Draw, float]:
    """Return what draws clean examples, differences and adversarial ones, and its height.

    Args:
        drawn: The examples, losses in the place of predictions.
        images: Whether they are drawn as images; else as units.
        magnify: Factor on the difference; None to choose it.
    """
    if not images:
        return lambda figure: draw_units(figure, drawn, magnify), 0.9 + 0.24 * len(drawn.before)
    legend = (
        "above: loss of the clean example; below: of the adversarial one, and its distortion "
        "(RMS change)"
    )
    return lambda figure: draw_images(figure, drawn, magnify, legend), images_height(drawn)


def _draw_history(figure: SubFigure, history: Sequence[LossMoment]) -> None:
    steps = [moment.step for moment in history]
    left, right = figure.subplots(1, 2, width_ratios=[3, 2])
    dot = {"marker": "o", "markersize": 3, "linewidth": 1.4}
    losses = [m.loss_clean for m in history], [m.loss for m in history]
    left.plot(steps, losses[0], color=PALETTE[0], label="clean", **dot)
    left.plot(steps, losses[1], color=PALETTE[1], label="adversarial", linestyle="--", **dot)
    left.legend(frameon=False, fontsize=7)
    left.set_title("loss", fontsize=8, color=INK, loc="left")
    if all(m.flipped == m.flipped for m in history):
        right.plot(steps, [100 * m.flipped for m in history], color=PALETTE[2], **dot)
        right.set_ylim(top=max(1.0, right.get_ylim()[1]))
        right.set_title("pixels whose prediction flips, %", fontsize=8, color=INK, loc="left")
    else:
        right.plot(steps, [m.distortion for m in history], color=PALETTE[2], **dot)
        right.set_title("distortion (RMS)", fontsize=8, color=INK, loc="left")
    right.set_ylim(bottom=0, top=1.1 * right.get_ylim()[1])
    for axis in (left, right):
        style_steps(axis, steps)
