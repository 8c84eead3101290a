"""A transfer table on the screen, as CSV, as Markdown and as a heat map."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lit_intriguing.commands.transfer.table import MARKS, NEVER_RIGHT, Cell, Interval, Line, Table
from lit_intriguing.figures import heat_map
from lit_intriguing.figures.canvas import png
from lit_intriguing.tables import Cell as Text
from lit_intriguing.tables import markdown_table, screen_table

CSV_COLUMNS = (
    "set", "kind", "made for", "stddev", "model", "wrong", "rows", "error", "low", "high",
    "paper", "mark", "distortion", "distortion sd", "distortion median", "paper distortion",
)  # fmt: skip


@dataclass(frozen=True)
class PaperRow:
    """What the paper reports in one line of its table.

    Attributes:
        errors: One a model, in per cent; null where there is none.
        distortion: Average root mean square change, in the units of the images.
    """

    errors: list[float | None] = field(default_factory=list)
    distortion: float | None = None


@dataclass(frozen=True)
class Report:
    """How a table is shown.

    Attributes:
        table: The numbers.
        paper: The paper's, by the title of the line.
        confidence: Of the intervals.
        method: Of the intervals.
        title: Heading.
    """

    table: Table
    paper: Mapping[str, PaperRow] = field(default_factory=dict)
    confidence: float = 0.95
    method: Interval = "wilson"
    title: str = "Transfer"

    def screen(self) -> str:
        """For a terminal: measured, in brackets the paper's."""
        columns, lines = self._grid(intervals=False)
        head = "error, %; [the paper's]" if self.paper else "error, %"
        parts = [f"{self.title}: {head}", screen_table(columns, lines)]
        return "\n".join([*parts, *self._notes()])

    def page(self) -> str:
        """As Markdown, with intervals."""
        columns, lines = self._grid(intervals=True)
        text = (
            f"Error of the column's model on the line's rows, in per cent, with "
            f"{self.confidence:.0%} intervals ({self.method}){self._paper_words()}. rows: how many "
            "count; distortion: mean root mean square change of those that were moved.\n"
        )
        notes = "".join(f"- {note}\n" for note in self._notes())
        return "\n".join([f"# {self.title}\n", text, markdown_table(columns, lines), notes])

    def csv(self) -> str:
        """A line for each cell."""
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow(CSV_COLUMNS)
        for line in self.table.lines:
            writer.writerows(self._cells(line))
        return buffer.getvalue()

    def figure(self) -> bytes:
        """The heat map, as a PNG."""
        texts = [[_number(cell) for cell in line.cells] for line in self.table.lines]
        rows = [line.title for line in self.table.lines]
        return png(
            heat_map(
                self.table.errors, rows, self.table.models, texts=texts, top="the column's model",
                title=self.title,
            )
        )  # fmt: skip

    def write(self, folder: Path) -> list[str]:
        """Writes `transfer.csv`, `.md` and `.png`; returns their names."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "transfer.csv").write_text(self.csv(), encoding="utf-8")
        (folder / "transfer.md").write_text(self.page(), encoding="utf-8")
        (folder / "transfer.png").write_bytes(self.figure())
        return ["transfer.csv", "transfer.md", "transfer.png"]

    def _grid(self, intervals: bool) -> tuple[list[str], list[list[Text]]]:
        columns = ["", "rows", "distortion", *self.table.models]
        lines: list[list[Text]] = []
        for line in self.table.lines:
            paper = self.paper.get(line.title, PaperRow())
            errors = paper.errors or [None] * len(line.cells)
            distortion = _small(line.distortions.mean) + _bracket(paper.distortion)
            cells = [
                _number(cell) + (self._limits(cell) if intervals else "") + _bracket(error)
                for cell, error in zip(line.cells, errors, strict=True)
            ]
            lines.append([line.title, line.counted, distortion, *cells])
        return columns, lines

    def _limits(self, cell: Cell) -> str:
        limits = cell.interval(self.confidence, self.method)
        return "" if limits is None else f" ({limits[0]:.1f} to {limits[1]:.1f})"

    def _cells(self, line: Line) -> Sequence[Sequence[Text]]:
        paper = self.paper.get(line.title, PaperRow())
        errors = paper.errors or [None] * len(line.cells)
        stats = line.distortions
        found = []
        for model, cell, theirs in zip(self.table.models, line.cells, errors, strict=True):
            limits = cell.interval(self.confidence, self.method) or (None, None)
            numbers = (cell.error, *limits, theirs)
            found.append([
                line.title, line.set.kind, line.set.model or "", _plain(line.set.stddev), model,
                cell.wrong, cell.rows, *map(_plain, numbers), cell.mark,
                *map(_plain, (stats.mean, stats.deviation, stats.median, paper.distortion)),
            ])  # fmt: skip
        return found

    def _notes(self) -> list[str]:
        marks = [f"{mark}: {MARKS[mark]}." for mark in self.table.marks]
        short = [
            f"{line.title}: {line.counted} of {line.rows} rows count."
            for line in self.table.lines
            if line.counted < line.rows
        ]
        return [*short, *marks, *(f"{k!r}: {v}" for k, v in self.table.failures.items())]

    def _paper_words(self) -> str:
        return "; in brackets the paper's" if self.paper else ""


def _number(cell: Cell) -> str:
    if cell.error is None:
        return cell.mark
    return f"{cell.error:.1f}{' ' + NEVER_RIGHT if cell.mark == NEVER_RIGHT else ''}"


def _bracket(value: float | None) -> str:
    return "" if value is None else f" [{value:g}]"


def _small(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.4f}"


def _plain(value: float | None) -> Text:
    return "" if value is None or math.isnan(value) else value
