"""How adversarial examples transfer, at one moment of a run and over the run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from lit_intriguing.figures.canvas import GREY, INK, PALETTE
from lit_intriguing.figures.heat_map import LABEL, draw_heat_map
from lit_intriguing.figures.history import draw_shares, with_room_below

ALONE = "error of the network on these images, %"
"""What the numbers are where there is one network."""


@dataclass(frozen=True)
class TransferMoment:
    """What was measured at one step.

    Attributes:
        step: Optimiser steps taken.
        shares: In [0, 1], by their names; one without examples is missing.
    """

    step: int
    shares: Mapping[str, float]


def transfer_figure(
    values: Tensor,
    rows: Sequence[str],
    columns: Sequence[str],
    history: Sequence[TransferMoment] = (),
    *,
    label: str | None = None,
    title: str = "",
) -> Figure:
    """Draw the matrix of one moment, of a single network as bars, and below it the run's curves.

    Args:
        values: (R, C), in per cent; NaN where there are no examples.
        rows: R names of images.
        columns: C names of networks.
        history: All moments, in the order of their steps; curves are drawn from the second on.
        label: What the values are, with their unit; None for errors.
        title: Drawn above.

    Returns:
        The figure.

    Raises:
        ValueError: No value, or numbers of names that do not fit.
    """
    height = 1.3 + 0.3 * len(rows)
    figure, top, bottom = with_room_below(height, len(history) > 1)
    if len(columns) == 1 and values.shape == (len(rows), 1):
        _draw_bars(top.subplots(), values[:, 0], rows, label or ALONE)
    else:
        draw_heat_map(top.subplots(), values, rows, columns, label=label or LABEL)
    if bottom is not None:
        draw_shares(bottom, [(one.step, one.shares) for one in history])
    figure.suptitle(title, fontsize=10, color=INK, x=0.01, ha="left")
    return figure


def _draw_bars(axis: Axes, values: Tensor, rows: Sequence[str], label: str) -> None:
    numbers = values.detach().cpu().double()
    known = numbers.nan_to_num(0.0)
    axis.barh(range(len(rows)), known.numpy(), height=0.6, color=PALETTE[0])
    for row, (number, end) in enumerate(zip(numbers.tolist(), known.tolist(), strict=True)):
        axis.annotate(
            "no examples" if number != number else f"{number:.1f}", (end, row), xytext=(5, 0),
            textcoords="offset points", fontsize=7, va="center", color=INK,
        )  # fmt: skip
    axis.set_yticks(range(len(rows)), list(rows), fontsize=8, color=INK)
    axis.set_ylim(len(rows) - 0.5, -0.5)
    axis.set_xlim(0, 1.08 * max(100.0, float(known.max())))
    axis.set_xlabel(label, fontsize=8, color=INK)
    axis.tick_params(axis="x", labelsize=7)
    axis.tick_params(axis="y", length=0)
    axis.grid(axis="x", color=GREY, alpha=0.25, linewidth=0.6)
    axis.set_axisbelow(True)
    axis.spines[["top", "right", "left"]].set_visible(False)
