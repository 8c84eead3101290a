"""The numbers of a transfer study: errors with their intervals, distortions, marks."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from scipy.stats import binomtest
from torch import Tensor

from lit_intriguing.commands.transfer.sets import SetName
from lit_intriguing.metrics import TransferRates
from lit_intriguing.model_sets.distortions import Distortions

FAILED = "failed"
EMPTY = "empty set"
NEVER_RIGHT = "never right"
MARKS = {
    FAILED: "a model failed, the reasons are given",
    EMPTY: "no row of the set counts: the attack had no success, or there was nothing to attack",
    NEVER_RIGHT: "the model reads no clean row rightly, so that its errors say nothing",
}
"""What each mark of a cell means."""

Interval = Literal["wilson", "exact"]


@dataclass(frozen=True)
class Cell:
    """A model's error on a set.

    Attributes:
        wrong: Rows that it gets wrong.
        rows: Rows that count.
        mark: Empty, or one of `MARKS`; with FAILED or EMPTY there is no error.
    """

    wrong: int
    rows: int
    mark: str = ""

    @property
    def error(self) -> float | None:
        """In per cent; None where the mark says why there is none."""
        return None if self.mark in (FAILED, EMPTY) else 100 * self.wrong / self.rows

    def interval(self, confidence: float, method: Interval) -> tuple[float, float] | None:
        """Limits of the error in per cent.

        Args:
            confidence: Such as 0.95.
            method: "wilson" (Wilson's score) or "exact" (Clopper and Pearson).

        >>> [round(limit, 1) for limit in Cell(0, 100).interval(0.95, "exact")]
        [0.0, 3.6]
        """
        if self.error is None:
            return None
        found = binomtest(self.wrong, self.rows).proportion_ci(confidence, method)
        return 100 * found.low, 100 * found.high


@dataclass(frozen=True)
class Line:
    """One set, shown to every model.

    Attributes:
        title: Its name in the table.
        set: What it is.
        rows: How many rows there were.
        counted: How many of them are in the set.
        distortions: Of these.
        cells: One a model.
    """

    title: str
    set: SetName
    rows: int
    counted: int
    distortions: Distortions
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Table:
    """A transfer matrix.

    Attributes:
        models: Names, the columns.
        lines: The sets.
        failures: What went wrong, by the model's name.
    """

    models: tuple[str, ...]
    lines: tuple[Line, ...]
    failures: Mapping[str, str] = field(default_factory=dict)

    @property
    def errors(self) -> Tensor:
        """In per cent, (lines, models); NaN where a cell is marked as without one."""
        rows = [[cell.error for cell in line.cells] for line in self.lines]
        return torch.tensor([[math.nan if e is None else e for e in row] for row in rows])

    @property
    def marks(self) -> list[str]:
        """The marks in use, in the order of `MARKS`."""
        used = {cell.mark for line in self.lines for cell in line.cells}
        return [mark for mark in MARKS if mark in used]

    def line(self, title: str) -> Line:
        """The line of that title.

        Raises:
            KeyError: There is none.
        """
        for line in self.lines:
            if line.title == title:
                return line
        raise KeyError(title)


def tabulate(
    columns: Mapping[str, Tensor],
    sets: Sequence[SetName],
    models: Sequence[str],
    failures: Mapping[str, str],
) -> Table:
    """Counts.

    Args:
        columns: See `Judged`.
        sets: S names.
        models: M names.
        failures: See `Judged`.
    """
    answers = columns["answers"].permute(1, 2, 0)
    counted = columns["counted"].T.unsqueeze(1)
    rates = TransferRates(len(sets), len(models))
    rates.update(answers, columns["labels"], counted)
    known = (answers >= 0).all(2) & columns["there"].all(0).unsqueeze(1)
    wrong, rows = rates.wrong, rates.rows
    clean = next(s for s, name in enumerate(sets) if name.kind == "clean")
    lines = []
    for s, name in enumerate(sets):
        cells = tuple(
            Cell(int(wrong[s, m]), int(rows[s, m]), _mark(known, wrong, rows, clean, s, m))
            for m in range(len(models))
        )
        members = columns["counted"][:, s]
        distortions = Distortions.of(columns["distortion"][members, s])
        lines.append(Line(name.title, name, len(members), int(members.sum()), distortions, cells))
    return Table(tuple(models), tuple(lines), dict(failures))


def _mark(known: Tensor, wrong: Tensor, rows: Tensor, clean: int, s: int, m: int) -> str:
    if not known[s, m]:
        return FAILED
    if rows[s, m] == 0:
        return EMPTY
    never = bool(known[clean, m]) and int(wrong[clean, m]) == int(rows[clean, m])
    return NEVER_RIGHT if never else ""
