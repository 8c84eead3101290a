"""Dot plot: every run a dot, with each row's mean and standard deviation."""

from collections.abc import Mapping

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from lit_intriguing.figures.canvas import GREY, INK, PALETTE, new_figure


def dot_plot(
    groups: Mapping[str, Tensor],
    *,
    label: str,
    reference: float | None = None,
    reference_label: str = "",
    title: str = "",
) -> Figure:
    """Draw one row per group: a dot for each value, the mean, one standard deviation.

    Args:
        groups: Name to (n,) values in the unit that `label` names, drawn from the top. A group
            without values keeps its row and says so.
        label: What the horizontal axis shows, with its unit.
        reference: A value to compare with, drawn as a vertical line.
        reference_label: What that line is.
        title: Drawn above.

    Returns:
        The figure.

    Raises:
        ValueError: There is no group, or a group's values are not one-dimensional.
    """
    if not groups:
        raise ValueError("nothing to draw: no group")
    figure = new_figure(7.0, 1.3 + 0.34 * len(groups))
    axis = figure.subplots()
    for row, (name, values) in enumerate(groups.items()):
        if values.ndim != 1:
            raise ValueError(f"group {name!r}: values of shape {tuple(values.shape)}, not (n,)")
        _draw_group(axis, row, values.detach().cpu().double())
    if reference is not None:
        axis.axvline(reference, color=GREY, linestyle="--", linewidth=1, zorder=0)
        axis.annotate(
            reference_label,
            (reference, 1),
            xycoords=("data", "axes fraction"),
            xytext=(3, 2),
            textcoords="offset points",
            fontsize=7,
            color=GREY,
        )
    axis.set_yticks(range(len(groups)), list(groups), fontsize=8, color=INK)
    axis.set_ylim(len(groups) - 0.5, -0.5)
    axis.set_xlabel(f"{label}; bar: mean ± one standard deviation", fontsize=8, color=INK)
    axis.set_title(title, fontsize=10, color=INK, loc="left", pad=14 if reference_label else 6)
    axis.tick_params(axis="x", labelsize=8)
    axis.tick_params(axis="y", length=0)
    axis.grid(axis="x", color=GREY, alpha=0.25, linewidth=0.6)
    axis.spines[["top", "right", "left"]].set_visible(False)
    return figure


def _draw_group(axis: Axes, row: int, values: Tensor) -> None:
    if not len(values):
        at = axis.get_yaxis_transform()
        axis.text(0.01, row, "no run", transform=at, fontsize=7, va="center")
        return
    mean = float(values.mean())
    # The standard deviation of one value is unknown, not nought: no bar then.
    if len(values) > 1:
        deviation = float(values.std())
        axis.plot([mean - deviation, mean + deviation], [row, row], color=INK, linewidth=1.6)
    axis.plot([mean], [row], marker="|", markersize=12, markeredgewidth=2, color=INK)
    # A small fixed spread keeps equal values apart, the same in every drawing.
    offsets = torch.linspace(-0.18, 0.18, len(values)) if len(values) > 1 else torch.zeros(1)
    axis.scatter(
        values.numpy(),
        row + offsets.numpy(),
        s=18,
        color=PALETTE[0],
        alpha=0.75,
        linewidths=0,
        zorder=3,
    )
