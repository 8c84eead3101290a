"""Error against training length."""

from collections.abc import Mapping

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from lit_intriguing.figures.canvas import GREY, INK, PALETTE, new_figure


def error_curves(
    curves: Mapping[str, tuple[Tensor, Tensor]],
    *,
    x_label: str = "epochs",
    y_label: str = "test error, %",
    reference: float | None = None,
    reference_label: str = "",
    title: str = "",
) -> Figure:
    """Draw each curve's mean over seeds, one standard deviation and every seed's dot.

    Args:
        curves: Name to a pair: (K,) lengths (epochs, or what `x_label` says), and (S, K) errors
            in the unit of `y_label`, one row per seed. NaN where a seed was not run.
        x_label: What the horizontal axis shows, with its unit.
        y_label: What the vertical axis shows, with its unit.
        reference: A value to compare with, drawn as a horizontal line.
        reference_label: What that line is.
        title: Drawn above.

    Returns:
        The figure.

    Raises:
        ValueError: There is no curve, or a curve's shapes are not (K,) and (S, K).
    """
    if not curves:
        raise ValueError("nothing to draw: no curve")
    figure = new_figure(6.0, 3.6)
    axis = figure.subplots()
    for number, (name, (lengths, errors)) in enumerate(curves.items()):
        if lengths.ndim != 1 or errors.ndim != 2 or errors.shape[1] != len(lengths):
            raise ValueError(
                f"curve {name!r}: lengths of shape {tuple(lengths.shape)} and errors of shape "
                f"{tuple(errors.shape)}, not (K,) and (S, K)"
            )
        _draw_curve(axis, name, lengths, errors, PALETTE[number % len(PALETTE)])
    if reference is not None:
        axis.axhline(reference, color=GREY, linestyle="--", linewidth=1, zorder=0)
        axis.annotate(
            reference_label,
            (1, reference),
            xycoords=("axes fraction", "data"),
            xytext=(-2, 3),
            textcoords="offset points",
            ha="right",
            fontsize=7,
            color=GREY,
        )
    axis.set_xlabel(x_label, fontsize=9, color=INK)
    axis.set_ylabel(y_label, fontsize=9, color=INK)
    axis.set_title(title, fontsize=10, color=INK, loc="left")
    axis.tick_params(labelsize=8)
    axis.grid(color=GREY, alpha=0.25, linewidth=0.6)
    axis.spines[["top", "right"]].set_visible(False)
    if len(curves) > 1:
        axis.legend(frameon=False, fontsize=8)
    return figure


def _draw_curve(axis: Axes, name: str, lengths: Tensor, errors: Tensor, colour: str) -> None:
    x = lengths.detach().cpu().double()
    y = errors.detach().cpu().double()
    known = y.isfinite()
    counts = known.sum(0)
    mean = y.nanmean(0)
    squares = (y - mean).where(known, 0).square().sum(0)
    deviation = (squares / (counts - 1).clamp(min=1)).sqrt()
    axis.plot(x, mean, color=colour, linewidth=1.6, label=name)
    axis.fill_between(
        x,
        mean - deviation,
        mean + deviation,
        where=counts > 1,
        color=colour,
        alpha=0.15,
        linewidth=0,
    )
    for seed in y:
        axis.scatter(x, seed, s=14, color=colour, alpha=0.7, linewidths=0)
