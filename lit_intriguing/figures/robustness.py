"""Error against the size of the perturbation: what attacks found, and what is certified."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from lit_intriguing.figures.canvas import GREY, INK, PALETTE
from lit_intriguing.figures.history import draw_shares, with_room_below
from lit_intriguing.metrics.robustness import ROUNDING

_POINTS, _MARGIN = 200, 1.25
"""Of a curve; and how far it goes, as a multiple of the largest size."""


@dataclass(frozen=True)
class ErrorPanel:
    """The errors in one norm.

    Attributes:
        label: Of the horizontal axis.
        sizes: Those asked for, (R,).
        found: Name to the distance of the nearest example that fools the model, (N,); the first is
            the worst case. Zero where the clean example is read wrongly, infinity where none was
            found.
        certified: How far predictions provably stay, (N,); None without bounds.
    """

    label: str
    sizes: Sequence[float]
    found: Mapping[str, Tensor]
    certified: Tensor | None = None


@dataclass(frozen=True)
class ErrorMoment:
    """Errors in [0, 1], by their names, after so many optimiser steps."""

    step: int
    errors: Mapping[str, float]


def robustness_figure(
    panels: Sequence[ErrorPanel], history: Sequence[ErrorMoment] = (), *, title: str = ""
) -> Figure:
    """Draw error against size for each norm, and below it the run's curves from the second on.

    Between the error that attacks found and the one that bounds leave possible lies what is not
    known; it is shaded.

    Args:
        panels: At least one norm.
        history: All moments, in the order of their steps.
        title: Drawn above.

    Returns:
        The figure.

    Raises:
        ValueError: There is no panel, or one without a curve.
    """
    if not panels or not all(panel.found for panel in panels):
        raise ValueError("nothing to draw: no curve")
    figure, top, bottom = with_room_below(3.2, len(history) > 1)
    for axis, panel in zip(top.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        _draw_panel(axis, panel)
    if bottom is not None:
        draw_shares(bottom, [(one.step, one.errors) for one in history])
    figure.suptitle(title, fontsize=10, color=INK, x=0.01, ha="left")
    return figure


def _draw_panel(axis: Axes, panel: ErrorPanel) -> None:
    x = torch.linspace(0, _MARGIN * max(panel.sizes), _POINTS, dtype=torch.float64)
    sizes = torch.tensor(panel.sizes, dtype=torch.float64)
    names = list(panel.found)
    worst = _errors(panel.found[names[0]], x)
    if panel.certified is not None:
        possible = _errors(panel.certified, x)
        axis.fill_between(
            x.numpy(), worst, possible, color=GREY, alpha=0.18, linewidth=0, label="not known"
        )
        axis.plot(x.numpy(), possible, color=PALETTE[1], linewidth=1.4, linestyle="--",
                  label="not certified")  # fmt: skip
    for number, name in enumerate(names[1:]):
        axis.plot(x.numpy(), _errors(panel.found[name], x), linewidth=1.0, linestyle=":",
                  color=PALETTE[2 + number % (len(PALETTE) - 2)], label=name)  # fmt: skip
    axis.plot(x.numpy(), worst, color=PALETTE[0], linewidth=1.6, label=names[0])
    at = _errors(panel.found[names[0]], sizes)
    axis.scatter(sizes.numpy(), at, s=18, color=PALETTE[0], zorder=3)
    for size, error in zip(panel.sizes, at.tolist(), strict=True):
        axis.annotate(f"{error:.1f}", (size, error), xytext=(5, -9), textcoords="offset points",
                      fontsize=7, color=INK)  # fmt: skip
    axis.set_xlim(0, float(x[-1]))
    axis.set_ylim(-2, 104)
    axis.set_xlabel(panel.label, fontsize=8, color=INK)
    axis.set_ylabel("error, %", fontsize=8, color=INK)
    axis.tick_params(labelsize=7)
    axis.grid(color=GREY, alpha=0.25, linewidth=0.6)
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, fontsize=7, loc="best")


def _errors(distances: Tensor, at: Tensor) -> "np.ndarray[tuple[int, ...], np.dtype[np.float64]]":
    """Return the share of distances up to each size, in per cent, rounding allowed for."""
    ordered = distances.detach().cpu().double().sort().values.numpy()
    counts = np.searchsorted(ordered, at.numpy() * (1 + ROUNDING), side="right")
    return 100.0 * counts / max(len(ordered), 1)
