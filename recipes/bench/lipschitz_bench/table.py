"""The tables: each layer's line, and what each method comes to."""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from lit_intriguing.tables import Cell, markdown_table

ROUNDING = 1e-6
"""How far below the truth a number in float32 may lie and still not count as below it."""


@dataclass(frozen=True)
class Measured:
    """What a method gave for a layer.

    Attributes:
        layer: The layer's name.
        method: The method's.
        truth: The layer's norm.
        value: What the method says.
        seconds: What it took.
        least: Whether `truth` is only a lower bound: the ratio is then at most what it says.
    """

    layer: str
    method: str
    truth: float
    value: float
    seconds: float
    least: bool = False

    @property
    def ratio(self) -> float:
        """To the truth."""
        return self.value / self.truth

    @property
    def below(self) -> bool:
        """Whether it lies below the truth, by more than rounding."""
        return self.ratio < 1 - ROUNDING


def lines(results: Sequence[Measured]) -> str:
    """Return a line for each layer in Markdown: ratio to the truth, and seconds."""
    methods = list(dict.fromkeys(one.method for one in results))
    rows: list[list[Cell]] = []
    for layer in dict.fromkeys(one.layer for one in results):
        mine = {one.method: one for one in results if one.layer == layer}
        first = next(iter(mine.values()))
        truth = f"{'at least ' if first.least else ''}{first.truth:.4g}"
        cells = [_cell(mine[name]) if name in mine else "" for name in methods]
        rows.append([layer, truth, *cells])
    return markdown_table(["layer, kernel", "norm", *methods], rows)


def _cell(one: Measured) -> str:
    most = "at most " if one.least else ""
    return f"{most}{one.ratio:.4f}{' below' if one.below else ''} ({one.seconds:.2g} s)"


def totals(results: Sequence[Measured], claims: dict[str, str]) -> str:
    """Return a line for each method in Markdown: how often below the truth, how tight, how long."""
    columns = ["method", "called", "layers", "below the truth", "least ratio", "median", "greatest",
               "seconds"]  # fmt: skip
    rows: list[list[Cell]] = []
    for method in dict.fromkeys(one.method for one in results):
        mine = [one for one in results if one.method == method]
        ratios = torch.tensor([one.ratio for one in mine], dtype=torch.float64)
        rows.append([
            method, claims.get(method, ""), len(mine), sum(one.below for one in mine),
            *(f"{value:.4f}" for value in (ratios.min(), ratios.median(), ratios.max())),
            f"{sum(one.seconds for one in mine):.3g}",
        ])  # fmt: skip
    return markdown_table(columns, rows)


def write(path: Path, results: Iterable[Measured]) -> None:
    """Append to a CSV file."""
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, ["layer", "method", "truth", "value", "seconds", "least"])
        if new:
            writer.writeheader()
        writer.writerows(asdict(one) for one in results)
