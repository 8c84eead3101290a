"""What comes out: a transfer table on the screen, as CSV, as Markdown and as a heat map."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from typing_extensions import override

from lit_intriguing.commands.transfer.table import (
    MARKS,
    NEVER_CORRECT,
    Cell,
    Interval,
    Table,
    TableRow,
)
from lit_intriguing.figures import heat_map
from lit_intriguing.figures.canvas import png
from lit_intriguing.figures.panels import pair_panels
from lit_intriguing.model_sets.report import Report, Section
from lit_intriguing.tables import Cell as Text
from lit_intriguing.tables import csv_table

CSV_COLUMNS = (
    "set", "kind", "made for", "stddev", "model", "wrong", "images", "error", "low", "high",
    "paper", "mark", "distortion", "distortion sd", "distortion median", "paper distortion",
)  # fmt: skip


@dataclass(frozen=True)
class PaperRow:
    """What the paper reports in one row of its table.

    Attributes:
        errors: One a model, in per cent; null where there is none.
        distortion: Average root mean square change, in the units of the images.
    """

    errors: list[float | None] = field(default_factory=list)
    distortion: float | None = None


@dataclass(frozen=True)
class TransferReport(Report):
    """How a table is shown.

    Attributes:
        table: The numbers.
        paper: The paper's, by the title of the row.
        method: Of the intervals.
    """

    PICTURES: ClassVar[tuple[str, ...]] = ("examples.png",)

    table: Table
    paper: Mapping[str, PaperRow] = field(default_factory=dict)
    method: Interval = "wilson"

    @override
    def sections(self, *, page: bool) -> list[Section]:
        columns = ["", "images", "distortion", *self.table.models]
        rows: list[list[Text]] = []
        for row in self.table.rows:
            paper = self.paper.get(row.title, PaperRow())
            errors = paper.errors or [None] * len(row.cells)
            distortion = _small(row.distortions.mean) + _bracket(paper.distortion)
            cells = [
                _number(cell) + (self._limits(cell) if page else "") + _bracket(error)
                for cell, error in zip(row.cells, errors, strict=True)
            ]
            rows.append([row.title, row.counted, distortion, *cells])
        return [Section(self._page_text() if page else self._screen_text(), columns, rows)]

    @override
    def notes(self) -> list[str]:
        marks = [f"{mark}: {MARKS[mark]}." for mark in self.table.marks]
        short = [
            f"{row.title}: {row.counted} of {row.images} images count."
            for row in self.table.rows
            if row.counted < row.images
        ]
        return [*short, *marks, *(f"{k!r}: {v}" for k, v in self.table.failures.items())]

    @override
    def files(self) -> dict[str, str | bytes]:
        found: dict[str, str | bytes] = {
            "transfer.csv": self.csv(),
            "transfer.md": self.page(),
            "transfer.png": self.figure(),
        }
        if self.table.panels:
            found["examples.png"] = png(pair_panels(self.table.panels, title=self.title))
        return found

    @override
    def screen(self) -> str:
        panels = self.table.panels
        drawn = f"\n{len(panels[0].clean)} images of each set are drawn." if panels else ""
        return super().screen() + drawn

    def csv(self) -> str:
        """Return the table as CSV, a row for each cell."""
        return csv_table(CSV_COLUMNS, [one for row in self.table.rows for one in self._cells(row)])

    def figure(self) -> bytes:
        """Return the heat map, as a PNG."""
        texts = [[_number(cell) for cell in row.cells] for row in self.table.rows]
        titles = [row.title for row in self.table.rows]
        return png(
            heat_map(
                self.table.errors, titles, self.table.models, texts=texts, title=self.title,
            )
        )  # fmt: skip

    def _screen_text(self) -> str:
        return "error, %; [the paper's]" if self.paper else "error, %"

    def _page_text(self) -> str:
        return (
            f"Error of the column's model on the row's images, in per cent, with "
            f"{self.confidence:.0%} intervals ({self.method})"
            f"{'; in brackets those of the paper' if self.paper else ''}. images: how many count; "
            "distortion: mean root mean square change of those that were changed."
        )

    def _limits(self, cell: Cell) -> str:
        limits = cell.interval(self.confidence, self.method)
        return "" if limits is None else f" ({limits[0]:.1f} to {limits[1]:.1f})"

    def _cells(self, row: TableRow) -> Sequence[Sequence[Text]]:
        paper = self.paper.get(row.title, PaperRow())
        errors = paper.errors or [None] * len(row.cells)
        stats = row.distortions
        found = []
        for model, cell, theirs in zip(self.table.models, row.cells, errors, strict=True):
            limits = cell.interval(self.confidence, self.method) or (None, None)
            numbers = (cell.error, *limits, theirs)
            found.append([
                row.title, row.set.kind, row.set.model or "", _blank_unknown(row.set.stddev), model,
                cell.wrong, cell.images, *map(_blank_unknown, numbers), cell.mark,
                *map(_blank_unknown, (stats.mean, stats.deviation, stats.median, paper.distortion)),
            ])  # fmt: skip
        return found


def _number(cell: Cell) -> str:
    if cell.error is None:
        return cell.mark
    return f"{cell.error:.1f}{' ' + NEVER_CORRECT if cell.mark == NEVER_CORRECT else ''}"


def _bracket(value: float | None) -> str:
    return "" if value is None else f" [{value:g}]"


def _small(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.4f}"


def _blank_unknown(value: float | None) -> Text:
    return "" if value is None or math.isnan(value) else value
