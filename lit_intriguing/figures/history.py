"""Distortion and success over a run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import MaxNLocator

from lit_intriguing.figures.canvas import GREY, INK, PALETTE, new_figure

_DOT: dict[str, Any] = {"marker": "o", "markersize": 3, "linewidth": 1.4}


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


def with_room_below(height: float, room: bool) -> tuple[Figure, SubFigure, SubFigure | None]:
    """Return a figure, its upper part of so many inches, and its lower one for curves if any."""
    if not room:
        figure = new_figure(8.0, height + 0.3)
        (top,) = figure.subfigures(1, 1, squeeze=False)[:, 0]
        return figure, top, None
    figure = new_figure(8.0, height + 2.3)
    top, bottom = figure.subfigures(2, 1, squeeze=False, height_ratios=[height, 2.0])[:, 0]
    return figure, top, bottom


def history_panels(history: Sequence[Moment]) -> list[str]:
    """Return which curves have something to show, of `distortion` and `success`."""
    if len(history) < 2:
        return []
    distortion = any(moment.mean == moment.mean for moment in history)
    success = len({moment.success for moment in history}) > 1
    return ["distortion"] * distortion + ["success"] * success


def draw_history(figure: SubFigure, history: Sequence[Moment], panels: Sequence[str]) -> None:
    """Draw curves over the steps.

    Args:
        figure: Where.
        history: All moments, in the order of their steps.
        panels: Which curves, at least one; see `history_panels`.
    """
    steps = [moment.step for moment in history]
    axes = figure.subplots(1, len(panels), squeeze=False, width_ratios=[3, 2][: len(panels)])[0]
    for axis, panel in zip(axes, panels, strict=True):
        if panel == "distortion":
            always = "" if "success" in panels else f"; success always {history[0].success:.0%}"
            _draw_distortion(axis, steps, history)
            axis.set_title(
                f"distortion of the successful ones (RMS){always}",
                fontsize=8, color=INK, loc="left",
            )  # fmt: skip
        else:
            axis.plot(steps, [100 * m.success for m in history], color=PALETTE[2], **_DOT)
            axis.set_title("success, %", fontsize=8, color=INK, loc="left")
            axis.set_ylim(-4, 104)
        style_steps(axis, steps)


def _draw_distortion(axis: Axes, steps: Sequence[int], history: Sequence[Moment]) -> None:
    axis.plot(steps, [m.mean for m in history], color=PALETTE[0], label="mean", **_DOT)
    axis.plot(
        steps, [m.median for m in history], color=PALETTE[1], label="median", linestyle="--", **_DOT
    )
    axis.legend(frameon=False, fontsize=7)
    axis.set_ylim(bottom=0, top=1.1 * axis.get_ylim()[1])


def draw_shares(figure: SubFigure, history: Sequence[tuple[int, Mapping[str, float]]]) -> None:
    """Draw shares over the steps of a run, in per cent.

    Args:
        figure: Where.
        history: Step, and shares by their names; one that is not known is missing.
    """
    axis = figure.subplots()
    for number, name in enumerate(dict.fromkeys(name for _, some in history for name in some)):
        there = [(step, 100 * some[name]) for step, some in history if name in some]
        axis.plot(
            *zip(*there, strict=True), color=PALETTE[number % len(PALETTE)], label=name,
            marker="o", markersize=3, linewidth=1.4,
            linestyle="--" if number // len(PALETTE) % 2 else "-",
        )  # fmt: skip
    style_steps(axis, [step for step, _ in history])
    axis.set_title("over the run, %", fontsize=8, color=INK, loc="left")
    low, high = axis.get_ylim()
    axis.set_ylim(min(-4.0, low), max(104.0, high))
    figure.legend(loc="outside right upper", fontsize=7, frameon=False)


def style_steps(axis: Axes, steps: Sequence[int]) -> None:
    """Give an axis of curves over optimiser steps its looks."""
    axis.set_xlabel("step", fontsize=8, color=INK)
    axis.tick_params(labelsize=7)
    axis.grid(color=GREY, alpha=0.25, linewidth=0.6)
    axis.spines[["top", "right"]].set_visible(False)
    axis.set_xlim(0, 1.04 * max([*steps, 1]))
    axis.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
