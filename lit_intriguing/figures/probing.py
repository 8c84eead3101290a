"""Class distributions along growing perturbations, and in noise around points."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from torch import Tensor

from lit_intriguing.figures.canvas import GREY, INK, PALETTE, new_figure
from lit_intriguing.figures.wrapping import text_width, wrapped

NAMES = ("true class", "class of the adversarial example", "other classes")
COLOURS = ("#8fb4d9", "#e8a87c", "#d8d8d8")
Row = TypeVar("Row")
_WIDTH = 2.1
"""Of a column, in inches."""
_LEGEND = 7
"""Size of its font, in points."""
_MARK = 0.5
"""What stands beside a text of the legend, with the space around, in inches."""


@dataclass(frozen=True)
class Line:
    """A model's predictions at T growing lengths.

    Attributes:
        factors: (T,).
        probabilities: Mean, of the kinds in `NAMES`, (T, 3), in [0, 1].
        predictions: Shares of the same kinds, (T, 3), in [0, 1].
    """

    factors: Tensor
    probabilities: Tensor
    predictions: Tensor


@dataclass(frozen=True)
class Cloud:
    """A model's predictions in noise of L growing lengths around one kind of point.

    Attributes:
        lengths: (L,), standard deviations.
        wrong: Share of wrong predictions and the limits of its interval, (L, 3), in [0, 1].
        target: Likewise, of predictions of the adversarial example's class.
    """

    lengths: Tensor
    wrong: Tensor
    target: Tensor


def lines_figure(models: Mapping[str, Mapping[str, Line]], *, title: str = "") -> Figure:
    """Draw mean probabilities as stacked areas, and where they would end if predictions counted.

    Args:
        models: For each model, a column, the lines by the name of their direction, a row.
        title: Drawn above.

    Returns:
        The figure.

    Raises:
        ValueError: No model, models with other directions than the first, or shapes that are not
            (T,) and (T, 3).
    """
    directions = _rows(models)
    figure = new_figure(_WIDTH * len(models) + 0.6, 1.75 * len(directions) + 1.05)
    axes = figure.subplots(len(directions), len(models), sharex=True, sharey=True, squeeze=False)
    for column, (name, lines) in enumerate(models.items()):
        for row, direction in enumerate(directions):
            _draw_line(axes[row, column], lines[direction])
        axes[0, column].set_title(name, fontsize=8, color=INK)
    for row, direction in enumerate(directions):
        axes[row, 0].set_ylabel(f"{direction}\ndirection, %", fontsize=8, color=INK)
    for axis in axes[-1]:
        _name_lengths(axis, "multiple of the image's adversarial perturbation")
    _finish(figure, title)
    areas = [_area(colour) for colour in COLOURS]
    border = Line2D([], [], color=INK, linewidth=1, linestyle="--")
    names = [f"{name}, mean probability" for name in NAMES]
    _legend(figure, [*areas, border], [*names, "where the areas would end if predictions counted"])
    return figure


def clouds_figure(models: Mapping[str, Mapping[float, Cloud]], *, title: str = "") -> Figure:
    """Draw the share of wrong predictions against the length of noise, with its intervals.

    Args:
        models: For each model, a column, the clouds by where they are centred, in multiples of the
            adversarial perturbation: 0 is the image, 1 its adversarial example.
        title: Drawn above.

    Returns:
        The figure.

    Raises:
        ValueError: No model, models with other centres than the first, or shapes that are not
            (L,) and (L, 3).
    """
    centres = _rows(models)
    figure = new_figure(_WIDTH * len(models) + 0.6, 3.15)
    axes = figure.subplots(1, len(models), sharex=True, sharey=True, squeeze=False)[0]
    for axis, (name, clouds) in zip(axes, models.items(), strict=True):
        for number, centre in enumerate(centres):
            _draw_cloud(
                axis, clouds[centre], PALETTE[number % len(PALETTE)], adversarial=centre > 0
            )
        axis.set_title(name, fontsize=8, color=INK)
        _name_lengths(axis, "standard deviation of the noise on each pixel")
        axis.set_ylim(0, 103)
        axis.set_xlim(left=0)
        axis.grid(color=GREY, alpha=0.25, linewidth=0.6)
    axes[0].set_ylabel("share of the noisy images, %", fontsize=8, color=INK)
    _finish(figure, title)
    marks = [Line2D([], [], color=PALETTE[i % len(PALETTE)]) for i in range(len(centres))]
    dashed = Line2D([], [], color=GREY, linestyle="--")
    names = [f"wrong predictions around {_centre(centre)}" for centre in centres]
    _legend(
        figure,
        [*marks, dashed],
        [*names, "predictions of the adversarial example's class, likewise"],
    )
    return figure


def _rows(models: Mapping[str, Mapping[Row, Any]]) -> list[Row]:
    if not models:
        raise ValueError("nothing to draw: no model")
    rows = list(next(iter(models.values())))
    for name, one in models.items():
        if list(one) != rows:
            raise ValueError(f"{name!r} has {list(one)}, the first model {rows}")
    return rows


def _centre(factor: float) -> str:
    if factor == 0:
        return "the image"
    return "the adversarial example" if factor == 1 else f"{factor:g} times the perturbation"


def _draw_line(axis: Axes, line: Line) -> None:
    x, means, predictions = _checked(line.factors, line.probabilities, line.predictions)
    axis.stackplot(x, 100 * means.T, colors=COLOURS, linewidth=0)
    for border in 100 * predictions.cumsum(1).T[:2]:
        axis.plot(x, border, color=INK, linewidth=1, linestyle="--", clip_on=False)
    axis.axvline(1, color=GREY, linewidth=0.7, linestyle=":")
    axis.set_xlim(x[0], x[-1] if x[-1] > x[0] else x[0] + 1)
    axis.set_ylim(0, 100)


def _draw_cloud(axis: Axes, cloud: Cloud, colour: str, *, adversarial: bool) -> None:
    x, wrong, target = _checked(cloud.lengths, cloud.wrong, cloud.target)
    kinds = [(wrong, "-")] + [(target, "--")] * adversarial
    for values, style in kinds:
        share, low, high = 100 * values.T
        axis.plot(x, share, color=colour, linewidth=1.4, linestyle=style)
        axis.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0)


def _checked(lengths: Tensor, *values: Tensor) -> list[Any]:
    for one in values:
        if lengths.ndim != 1 or one.shape != (len(lengths), 3) or len(lengths) == 0:
            raise ValueError(
                f"lengths of shape {tuple(lengths.shape)} and values of shape {tuple(one.shape)}, "
                "not (T,) and (T, 3)"
            )
    return [one.detach().cpu().double().numpy() for one in (lengths, *values)]


def _area(colour: str) -> Line2D:
    return Line2D([], [], color=colour, linewidth=7)


def _name_lengths(axis: Axes, text: str) -> None:
    axis.set_xlabel(wrapped(text, _WIDTH - 0.2, 8), fontsize=8, color=INK)


def _finish(figure: Figure, title: str) -> None:
    heading = wrapped(title, 0.97 * figure.get_figwidth(), 10)
    figure.suptitle(heading, fontsize=10, color=INK, x=0.01, ha="left")
    for axis in figure.axes:
        axis.tick_params(labelsize=7, length=2)
        axis.spines[["top", "right"]].set_visible(False)


def _legend(figure: Figure, handles: Sequence[Line2D], labels: Sequence[str]) -> None:
    room = figure.get_figwidth() - 0.1
    texts = [wrapped(label, room - _MARK, _LEGEND) for label in labels]
    column = _MARK + max(text_width(text, _LEGEND) for text in texts)
    across = max(1, min(len(handles), int(room / column)))
    figure.legend(
        handles, texts, loc="outside lower left", ncols=across, frameon=False, fontsize=_LEGEND
    )
