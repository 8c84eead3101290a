"""How much more coherent units are than random directions, layer by layer."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lit_intriguing.figures.canvas import GREY, INK, PALETTE, new_figure
from lit_intriguing.figures.wrapping import wrapped
from lit_intriguing.units.analysis import LayerAnalysis
from lit_intriguing.units.scan import UNITS
from lit_intriguing.units.statistics import MARGIN, Effect

_WIDTH = 7.5
"""Of the figure, in inches."""

_LEGEND = 3
"""Series beside each other in the legend, at most."""

_APART = 0.18
"""From the middle of a layer's line to its outer marks, in layers."""


def effects_figure(analyses: Sequence[LayerAnalysis], *, title: str = "") -> Figure:
    """Draw the effect of each layer with its interval, the control beside the network.

    The first layer stands at the top. Within the grey band units and random directions count as
    no different. An effect that is infinite, since random directions do not differ at all, is an
    arrow at the edge. The verdict on the first network's units stands at the right.

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
    heading = wrapped(title, _WIDTH - 0.2, 10)
    lines = len(heading.splitlines())
    figure = new_figure(_WIDTH, 1.3 + 0.18 * lines + len(layers) * max(0.34, 0.17 * len(series)))
    figure.suptitle(heading, fontsize=10, color=INK, x=0.01, ha="left")
    axis = figure.subplots()
    axis.axvspan(-MARGIN, MARGIN, color=GREY, alpha=0.15, linewidth=0, zorder=0)
    axis.axvline(0, color=GREY, linewidth=0.8, zorder=0)
    effects: list[tuple[Effect, float, int]] = []
    for number, (network, basis) in enumerate(series):
        these = [one for one in analyses if (one.network, one.basis) == (network, basis)]
        name = network if basis == UNITS else f"{network}, {basis}"
        # From -_APART to _APART, in the middle where there is one alone.
        shift = _APART * (2 * number - len(series) + 1) / max(1, len(series) - 1)
        places = [layers.index(one.layer) + shift for one in these]
        _draw_series(axis, these, places, number, name)
        effects += [(one.effect, at, number) for one, at in zip(these, places, strict=True)]
        if not number:
            _write_verdicts(axis, these, layers)
    low, high = axis.get_xlim()  # the whole band is seen, whatever the effects
    axis.set_xlim(min(low, -1.2 * MARGIN), max(high, 1.2 * MARGIN))
    arrows = [_draw_infinite(axis, *drawn) for drawn in effects]
    _finish(axis, layers, "; arrows: infinite" if any(arrows) else "")
    figure.legend(
        loc="outside lower center", ncols=min(_LEGEND, len(series)), fontsize=7, frameon=False
    )
    return figure


def _finish(axis: Axes, layers: Sequence[str], arrows: str) -> None:
    axis.set_yticks(range(len(layers)), layers, fontsize=8, color=INK)
    axis.set_ylim(len(layers) - 0.5, -0.5)
    axis.set_xlabel(
        "effect: units − random directions, in standard deviations of single random\n"  # noqa: RUF001
        f"directions; bars: 95% intervals{arrows}; grey band: no distinction",
        fontsize=8,
        color=INK,
    )
    axis.tick_params(axis="x", labelsize=8)
    axis.tick_params(axis="y", length=0)
    axis.grid(axis="x", color=GREY, alpha=0.25, linewidth=0.6)
    axis.set_axisbelow(True)
    axis.spines[["top", "right", "left"]].set_visible(False)


def _draw_series(
    axis: Axes, analyses: Sequence[LayerAnalysis], places: Sequence[float], number: int, name: str
) -> None:
    drawn = [
        (one.effect, place)
        for one, place in zip(analyses, places, strict=True)
        if math.isfinite(one.effect.value)
    ]
    style = _style(number)
    axis.errorbar(
        [found.value for found, _ in drawn],
        [place for _, place in drawn],
        xerr=[
            [_length(found.value - found.low) for found, _ in drawn],
            [_length(found.high - found.value) for found, _ in drawn],
        ],
        fmt="o", markersize=4.5, linewidth=1.4, capsize=2.5, label=name, **style,
    )  # fmt: skip


def _style(number: int) -> dict[str, Any]:
    style: dict[str, Any] = {"color": PALETTE[number % len(PALETTE)]}
    return style | ({"markerfacecolor": "white"} if number else {})  # what is compared with


def _length(difference: float) -> float:
    """Return the length of a part of a bar; none where it is infinite, see `_draw_infinite`."""
    # Rounding may put an end on the wrong side of the value.
    return max(0.0, difference) if math.isfinite(difference) else 0.0


def _draw_infinite(axis: Axes, effect: Effect, place: float, number: int) -> bool:
    """Draw an arrow at the edge for what is infinite, with the bar that leads to an end.

    The axis's limits stand already. Returns whether there is an arrow.
    """
    left, right = axis.get_xlim()
    inward = 0.012 * (right - left)  # the arrow leaves the names beside the axis alone
    left, right, drawn = left + inward, right - inward, False
    for end, edge, arrow in ((effect.low, left, "<"), (effect.high, right, ">")):
        infinite = -math.inf if arrow == "<" else math.inf
        if infinite not in (end, effect.value):
            continue
        drawn = True
        if math.isfinite(effect.value):
            axis.plot([effect.value, edge], [place, place], linewidth=1.4, **_style(number))
        axis.plot(
            [edge], [place], marker=arrow, markersize=7, clip_on=False, linestyle="none",
            **_style(number),
        )  # fmt: skip
    return drawn


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


def effect_history_figure(
    steps: Sequence[int], effects: Mapping[str, Sequence[Effect]], *, title: str = ""
) -> Figure:
    """Draw the effect of each layer over the steps of a run, with its interval.

    Args:
        steps: T numbers of optimiser steps.
        effects: T effects of each layer; an infinite one is an arrow at the edge, one that is not
            known leaves a gap.
        title: Drawn above.

    Returns:
        The figure.

    Raises:
        ValueError: There is nothing to draw.
    """
    if not steps or not effects:
        raise ValueError("nothing to draw: no effect")
    figure = new_figure(6.5, 3.6)
    axis = figure.subplots()
    axis.axhspan(-MARGIN, MARGIN, color=GREY, alpha=0.15, linewidth=0, zorder=0)
    axis.axhline(0, color=GREY, linewidth=0.8, zorder=0)
    for number, (layer, found) in enumerate(effects.items()):
        colour = PALETTE[number % len(PALETTE)]
        dashed = number // len(PALETTE) % 2 == 1
        axis.plot(
            steps, [one.value if math.isfinite(one.value) else math.nan for one in found],
            color=colour, label=layer, marker="o", markersize=3, linewidth=1.4,
            linestyle="--" if dashed else "-",
        )  # fmt: skip
        for step, one in zip(steps, found, strict=True):
            if math.isinf(one.value):
                axis.plot(
                    [step], [float(one.value > 0)], transform=axis.get_xaxis_transform(),
                    marker="^" if one.value > 0 else "v", color=colour, markersize=6,
                    clip_on=False, linestyle="none",
                )  # fmt: skip
        known = [(step, one) for step, one in zip(steps, found, strict=True)
                 if math.isfinite(one.low) and math.isfinite(one.high)]  # fmt: skip
        axis.fill_between(
            [step for step, _ in known], [one.low for _, one in known],
            [one.high for _, one in known], color=colour, alpha=0.12, linewidth=0,
        )  # fmt: skip
    axis.set_xlabel("step", fontsize=8, color=INK)
    axis.set_ylabel("effect; bands: 95% intervals; grey: no distinction", fontsize=8, color=INK)
    axis.set_title(title, fontsize=10, color=INK, loc="left")
    axis.tick_params(labelsize=8)
    axis.grid(color=GREY, alpha=0.25, linewidth=0.6)
    axis.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside right upper", fontsize=7, frameon=False)
    return figure
