"""How much more coherent units are than random directions, layer by layer."""

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lit_intriguing.figures.canvas import GREY, INK, PALETTE, new_figure
from lit_intriguing.units.analysis import LayerAnalysis
from lit_intriguing.units.scan import UNITS
from lit_intriguing.units.statistics import MARGIN

_APART = 0.18
"""From the middle of a layer's line to its outer marks, in layers."""


def effects_figure(analyses: Sequence[LayerAnalysis], *, title: str = "") -> Figure:
    """Draw the effect of each layer with its interval, the control beside the network.

    The first layer stands at the top. Within the grey band units and random directions count as
    no different. The verdict on the first network's units stands at the right.

    Args:
        analyses: Of any number of layers, networks and bases.
        title: Drawn above.

    Returns:
        The figure.

    Raises:
        ValueError: There is no analysis.
    """
    if not analyses:
        raise ValueError("nothing to draw: no analysis")
    layers = list(dict.fromkeys(one.layer for one in analyses))
    series = list(dict.fromkeys((one.network, one.basis) for one in analyses))
    figure = new_figure(7.5, 1.4 + len(layers) * max(0.34, 0.17 * len(series)))
    axis = figure.subplots()
    axis.axvspan(-MARGIN, MARGIN, color=GREY, alpha=0.15, linewidth=0, zorder=0)
    axis.axvline(0, color=GREY, linewidth=0.8, zorder=0)
    for number, (network, basis) in enumerate(series):
        these = [one for one in analyses if (one.network, one.basis) == (network, basis)]
        name = network if basis == UNITS else f"{network}, {basis}"
        # From -_APART to _APART, in the middle where there is one alone.
        shift = _APART * (2 * number - len(series) + 1) / max(1, len(series) - 1)
        _draw_series(axis, these, [layers.index(one.layer) + shift for one in these], number, name)
        if not number:
            _write_verdicts(axis, these, layers)
    axis.set_yticks(range(len(layers)), layers, fontsize=8, color=INK)
    axis.set_ylim(len(layers) - 0.5, -0.5)
    axis.set_xlabel(
        "effect: units − random directions, in standard deviations of single random\n"  # noqa: RUF001
        "directions; bars: 95% intervals; grey band: no distinction",
        fontsize=8,
        color=INK,
    )
    axis.set_title(title, fontsize=10, color=INK, loc="left")
    axis.tick_params(axis="x", labelsize=8)
    axis.tick_params(axis="y", length=0)
    axis.grid(axis="x", color=GREY, alpha=0.25, linewidth=0.6)
    axis.set_axisbelow(True)
    axis.spines[["top", "right", "left"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=len(series), fontsize=7, frameon=False)
    return figure


def _draw_series(
    axis: Axes, analyses: Sequence[LayerAnalysis], places: Sequence[float], number: int, name: str
) -> None:
    drawn = [
        (one.effect, place)
        for one, place in zip(analyses, places, strict=True)
        if math.isfinite(one.effect.value)
    ]
    style: dict[str, Any] = {"color": PALETTE[number % len(PALETTE)]}
    if number:  # what is compared with
        style |= {"markerfacecolor": "white"}
    axis.errorbar(
        [found.value for found, _ in drawn],
        [place for _, place in drawn],
        # Rounding may put an end on the wrong side of the value.
        xerr=[
            [max(0.0, found.value - found.low) for found, _ in drawn],
            [max(0.0, found.high - found.value) for found, _ in drawn],
        ],
        fmt="o", markersize=4.5, linewidth=1.4, capsize=2.5, label=name, **style,
    )  # fmt: skip


def _write_verdicts(axis: Axes, analyses: Sequence[LayerAnalysis], layers: Sequence[str]) -> None:
    axis.annotate(
        f"verdict, {analyses[0].network}", (1, 1), xycoords="axes fraction", xytext=(4, 2),
        textcoords="offset points", fontsize=7, color=GREY, annotation_clip=False,
    )  # fmt: skip
    for one in analyses:
        axis.annotate(
            one.note.split(":")[0] or one.verdict, (1, layers.index(one.layer)),
            xycoords=("axes fraction", "data"), xytext=(4, 0), textcoords="offset points",
            va="center", fontsize=7, color=INK, annotation_clip=False,
        )  # fmt: skip
