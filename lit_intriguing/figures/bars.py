"""Bars or dots: the bound of every layer, and how far each can be trusted."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from lit_intriguing.figures.canvas import GREY, INK, PALETTE, new_figure
from lit_intriguing.lipschitz.norm import Norm, probability

DECADES = 1.5
"""Where the finite values of an axis span more, it is logarithmic."""

COLOURS = {
    "exact": PALETTE[0],
    "upper": PALETTE[2],
    "probable": PALETTE[3],
    "estimate": PALETTE[1],
}
"""By kind; others are grey."""

MARK: dict[str, Any] = {
    "linestyle": "none", "marker": "D", "markersize": 4.5, "markerfacecolor": "white",
    "markeredgecolor": INK,
}  # fmt: skip
"""Of values beside the bars."""


@dataclass(frozen=True)
class Bar:
    """A row of the chart.

    Attributes:
        name: What it is the value of.
        value: Zero or more; may be infinite.
        kind: What the value is worth; bars of one kind have one colour.
        text: The value in few digits, rounded as its kind wants it; by default to the nearest.
        risk: Probability that the value is too low, of the kind `probable`.
        beside: Another's value, marked by a diamond; zero or more and finite.
    """

    name: str
    value: float
    kind: str
    text: str = ""
    risk: float = 0.0
    beside: float | None = None


def norm_bar(name: str, norm: Norm, beside: float | None = None) -> Bar:
    """Return the bar of what is known of a Lipschitz constant."""
    return Bar(name, norm.value, norm.kind, norm.text(), norm.risk, beside)


def bar_chart(
    bars: Sequence[Bar],
    *,
    label: str,
    title: str = "",
    beside: str = "another's",
    apart: Sequence[Bar] = (),
) -> Figure:
    """Draw horizontal bars from the top, each with its number.

    Where the finite values span decades, the axis is logarithmic, on which a length means nothing:
    each value is a dot then. An infinite value is a hatched bar over the whole width, with the sign
    for infinity.

    Args:
        bars: Rows.
        label: What the horizontal axis shows, with its unit.
        title: Drawn above.
        beside: Whose values the diamonds are.
        apart: Rows below, on an axis of their own: what would dwarf the others, such as a product
            of all of them.

    Returns:
        The figure.

    Raises:
        ValueError: There is no bar, or a value is negative or NaN.

    Examples:
        >>> bar_chart([Bar("fc", 2.0, "exact")], label="norm").axes[0].get_xscale()
        'linear'
    """
    groups = [group for group in (bars, apart) if group]
    if not groups:
        raise ValueError("nothing to draw: no bar")
    drawn = [bar for group in groups for bar in group]
    for bar in drawn:
        if not bar.value >= 0:
            raise ValueError(f"bar {bar.name!r}: a value is zero or more, not {bar.value}")
    sizes = [len(group) for group in groups]
    figure = new_figure(7.0, 0.9 + 0.26 * sum(sizes) + 0.5 * len(groups))
    axes = figure.subplots(len(groups), 1, squeeze=False, height_ratios=sizes)[:, 0]
    for axis, group in zip(axes, groups, strict=True):
        _draw_group(axis, group)
    axes[0].set_title(title, fontsize=10, color=INK, loc="left")
    axes[-1].set_xlabel(label, fontsize=8, color=INK)
    marked = any(bar.beside is not None for bar in drawn)
    _explain(figure, drawn, beside if marked else "")
    return figure


def _draw_group(axis: Axes, bars: Sequence[Bar]) -> None:
    marks = [(bar.beside, row) for row, bar in enumerate(bars) if bar.beside is not None]
    left, right = _scale(axis, [*(bar.value for bar in bars), *(value for value, _ in marks)])
    for row, bar in enumerate(bars):
        _draw(axis, row, bar, left, right)
    if marks:
        axis.plot(*zip(*marks, strict=True), **MARK)
    axis.set_yticks(range(len(bars)), [bar.name for bar in bars], fontsize=8, color=INK)
    axis.set_ylim(len(bars) - 0.5, -0.5)
    axis.tick_params(axis="x", labelsize=8)
    axis.tick_params(axis="y", length=0)
    axis.grid(axis="x", color=GREY, alpha=0.25, linewidth=0.6)
    axis.set_axisbelow(True)
    axis.spines[["top", "right", "left"]].set_visible(False)


def _scale(axis: Axes, values: Sequence[float]) -> tuple[float, float]:
    """Set the scale and return where the axis begins and where it ends."""
    drawn = [value for value in values if 0 < value < math.inf]
    low, high = min(drawn, default=1.0), max(drawn, default=1.0)
    if high / low > 10**DECADES:
        axis.set_xscale("log")
        left, right = low / 2, high * (high / low) ** 0.15
    else:
        left, right = 0.0, high * 1.15
    axis.set_xlim(left, right)
    return left, right


def _draw(axis: Axes, row: int, bar: Bar, left: float, right: float) -> None:
    colour = COLOURS.get(bar.kind, GREY)
    text, place = bar.text or f"{bar.value:.4g}", max(bar.value, left)
    if math.isinf(bar.value):
        axis.barh(
            row, right - left, left=left, height=0.7, fill=False, hatch="////",
            edgecolor=GREY, linewidth=0,
        )  # fmt: skip
        text, place = "∞: no bound known", left
    elif left == 0:
        axis.barh(row, bar.value, height=0.7, color=colour)
    elif bar.value > 0:  # nought has no place on a logarithmic axis: its number alone is written
        axis.scatter([bar.value], [row], s=26, color=colour, linewidths=0)
    axis.annotate(
        text, (place, row), xytext=(6, 0), textcoords="offset points", fontsize=7, va="center",
        color=INK, bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.8},
    )  # fmt: skip


def _explain(figure: Figure, bars: Sequence[Bar], beside: str) -> None:
    """Name the kinds of the finite bars below the chart, with the probability that all share."""
    risks: dict[str, float] = {}
    for bar in bars:
        if math.isfinite(bar.value):
            risks[bar.kind] = max(risks.get(bar.kind, 0.0), bar.risk)
    handles: list[Artist] = [
        Patch(color=COLOURS.get(kind, GREY), label=probability(risk) if risk else kind)
        for kind, risk in risks.items()
    ]
    if beside:
        handles.append(Line2D([], [], label=beside, **MARK))
    if handles:
        figure.legend(
            handles=handles, loc="outside lower center", ncols=len(handles), fontsize=7,
            frameon=False,
        )  # fmt: skip
