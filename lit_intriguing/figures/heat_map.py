"""Heat map: a table of rates, each cell with its number."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from lit_intriguing.figures.canvas import GREY, INK, new_figure

LABEL = "error of the column's network on the row's images, %"
"""What the numbers of a transfer matrix are."""


def heat_map(
    values: Tensor,
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    texts: Sequence[Sequence[str]] | None = None,
    label: str = LABEL,
    title: str = "",
) -> Figure:
    """Draw a table of percentages, dark for 100.

    Args:
        values: (R, C), in per cent; NaN leaves a cell grey.
        rows: R names.
        columns: C names.
        texts: What stands in each cell, R lists of C; the number with one decimal where None.
        label: What the numbers are, with their unit, of which column and row.
        title: Drawn above.

    Returns:
        The figure.

    Raises:
        ValueError: No cell, or numbers of names or texts that do not fit `values`.

    Examples:
        >>> import torch
        >>> heat_map(torch.tensor([[100.0, 5.0]]), ["for a"], ["a", "b"]).axes[0].get_ylabel()
        'images'
    """
    longest = max(map(len, rows), default=0)
    figure = new_figure(1.2 + 0.07 * longest + 0.95 * len(columns), 1.5 + 0.36 * len(rows))
    draw_heat_map(figure.subplots(), values, rows, columns, texts=texts, label=label)
    figure.axes[0].set_title(title, fontsize=10, color=INK, loc="left")
    return figure


def draw_heat_map(
    axis: Axes,
    values: Tensor,
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    texts: Sequence[Sequence[str]] | None = None,
    label: str = LABEL,
) -> None:
    """Draw the same on an axis."""
    if values.ndim != 2 or values.shape != (len(rows), len(columns)) or values.numel() == 0:
        raise ValueError(
            f"values of shape {tuple(values.shape)} for {len(rows)} rows and {len(columns)} columns"
        )
    if texts is not None and [len(row) for row in texts] != [len(columns)] * len(rows):
        raise ValueError(f"texts must be {len(rows)} lists of {len(columns)}")
    numbers = values.detach().cpu().double().tolist()
    if texts is None:
        texts = [["" if math.isnan(one) else f"{one:.1f}" for one in row] for row in numbers]
    axis.set_facecolor("#d8d8d8")
    axis.imshow(np.ma.masked_invalid(numbers), cmap="Blues", vmin=0, vmax=130, aspect="auto")
    _write_cells(axis, numbers, texts)
    axis.set_yticks(range(len(rows)), list(rows), fontsize=8, color=INK)
    axis.set_xticks(range(len(columns)), list(columns), fontsize=8, color=INK)
    axis.tick_params(length=0, top=True, bottom=False, labeltop=True, labelbottom=False)
    for name in axis.get_xticklabels():
        name.set(rotation=30, horizontalalignment="left", rotation_mode="anchor")
    axis.set_ylabel("images", fontsize=8, color=GREY)
    axis.set_xlabel(label, fontsize=8, color=INK)
    axis.spines[:].set_visible(False)


def _write_cells(
    axis: Axes, numbers: Sequence[Sequence[float]], texts: Sequence[Sequence[str]]
) -> None:
    for row, row_texts in enumerate(texts):
        for column, text in enumerate(row_texts):
            dark = numbers[row][column] > 70
            axis.text(
                column, row, text,
                ha="center", va="center", fontsize=7, color="white" if dark else INK,
            )  # fmt: skip
