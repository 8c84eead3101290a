"""What a command has left in a folder, ready to be shown."""

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Value:
    """A cell with a measured number.

    Attributes:
        text: The number.
        interval: Of 95% unless the table says another, as `0.97 to 1.07`; empty where unknown.
        paper: The paper's number; empty where there is none.
    """

    text: str
    interval: str = ""
    paper: str = ""


Shown = str | Value


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        caption: What the numbers are, with their unit.
        columns: C names.
        rows: Each with C cells, the first of them its name.
    """

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Shown]]


@dataclass(frozen=True)
class Picture:
    """A picture.

    Attributes:
        content: A PNG file, or its bytes.
        alt: What it shows, for who does not see it.
    """

    content: Path | bytes
    alt: str


@dataclass(frozen=True)
class Result:
    """What one command has left.

    Attributes:
        kind: In words, such as `transfer`.
        folder: Where it is, below the report's folder; `.` for that itself.
        date: Of the newest file, year first.
        headline: The main numbers in a line.
        parts: Some of them by names that claims ask for.
        tables: The main ones.
        views: Further tables by their names, for other places of the paper.
        pictures: In their order.
        notes: What has to be said, a line each.
        settings: As the command has written them down, as text.
        problem: Why it could not be read; empty where it could.
        error: Of a training: test error in per cent.
        seed: Of a training.
    """

    kind: str
    folder: str
    date: str
    headline: str = ""
    parts: Mapping[str, str] = field(default_factory=dict)
    tables: Sequence[Table] = ()
    views: Mapping[str, Table] = field(default_factory=dict)
    pictures: Sequence[Picture] = ()
    notes: Sequence[str] = ()
    settings: str = ""
    problem: str = ""
    error: float | None = None
    seed: str = ""

    def shown_as(self, view: str) -> Sequence[Table]:
        """Return the tables of a view, or the main ones where it has none of that name."""
        return [self.views[view]] if view in self.views else self.tables


def rows_of(path: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV file by their columns.

    Raises:
        ValueError: It is empty, or a row is cut short.
    """
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows:
        raise ValueError(f"{path.name} has no rows")
    if any(None in row or None in row.values() for row in rows):
        raise ValueError(f"{path.name} has a row that is too short or too long")
    return rows


def number(text: str, form: str) -> str:
    """Return a CSV file's number in a form; an empty one or NaN is empty.

    >>> number("7.369999", ".1f"), number("", ".1f"), number("nan", ".1f")
    ('7.4', '', '')
    """
    return "" if text == "" or math.isnan(float(text)) else format(float(text), form)


def between(low: str, high: str, form: str) -> str:
    """Return an interval; empty where an end is unknown.

    >>> between("0.971", "1.069", ".2f"), between("", "1", ".2f")
    ('0.97 to 1.07', '')
    """
    ends = number(low, form), number(high, form)
    return " to ".join(ends) if all(ends) else ""


def span(values: Sequence[float], form: str, unit: str = "") -> str:
    """Return the range of numbers.

    >>> span([0.3, 0.1], ".1f", "%"), span([0.3, 0.3], ".1f"), span([], ".1f", "%")
    ('0.1 to 0.3%', '0.3', 'none')
    """
    if not values:
        return "none"
    ends = format(min(values), form), format(max(values), form)
    return (ends[0] if ends[0] == ends[1] else " to ".join(ends)) + unit
