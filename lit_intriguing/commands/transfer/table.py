"""The numbers of a transfer study: errors with their intervals, distortions, marks."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from scipy.stats import binomtest
from torch import Tensor

from lit_intriguing.commands.transfer.job import SetName
from lit_intriguing.figures.panels import Panel
from lit_intriguing.metrics import TransferRates
from lit_intriguing.model_sets.distortions import Distortions

PREDICTIONS = "answers"
"""The column of predictions, by the name that chunks stored by earlier versions have."""
NO_PREDICTION = -1
"""In that column, where a model failed or the set could not be made."""

FAILED = "failed"
EMPTY = "empty set"
NEVER_CORRECT = "never right"
MARKS = {
    FAILED: "a model failed, the reasons are given",
    EMPTY: "no image of the set counts: the attack had no success, or there was nothing to attack",
    NEVER_CORRECT: "the model classifies no clean image correctly, so its errors say nothing",
}
"""What each mark of a cell means."""

Interval = Literal["wilson", "exact"]


@dataclass(frozen=True)
class Cell:
    """A model's error on a set.

    Attributes:
        wrong: Images that it misclassifies.
        images: Images that count.
        mark: Empty, or one of `MARKS`; with FAILED or EMPTY there is no error.
    """

    wrong: int
    images: int
    mark: str = ""

    @property
    def error(self) -> float | None:
        """In per cent; None where the mark says why there is none."""
        return None if self.mark in (FAILED, EMPTY) else 100 * self.wrong / self.images

    def interval(self, confidence: float, method: Interval) -> tuple[float, float] | None:
        """Return the limits of the error in per cent; None where there is no error.

        Args:
            confidence: Such as 0.95.
            method: "wilson" (Wilson's score) or "exact" (Clopper and Pearson).

        >>> [round(limit, 1) for limit in Cell(0, 100).interval(0.95, "exact")]
        [0.0, 3.6]
        """
        if self.error is None:
            return None
        found = binomtest(self.wrong, self.images).proportion_ci(confidence, method)
        return 100 * found.low, 100 * found.high


@dataclass(frozen=True)
class TableRow:
    """One set, predicted by every model.

    Attributes:
        title: Its name in the table.
        set: What it is.
        images: How many images there were.
        counted: How many of them are in the set.
        distortions: Of these.
        cells: One a model.
    """

    title: str
    set: SetName
    images: int
    counted: int
    distortions: Distortions
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Table:
    """A transfer matrix.

    Attributes:
        models: Names, the columns.
        rows: The sets.
        failures: What went wrong, by the model's name.
        panels: Some images of each set, where they are to be drawn.
    """

    models: tuple[str, ...]
    rows: tuple[TableRow, ...]
    failures: Mapping[str, str] = field(default_factory=dict)
    panels: Sequence[Panel] = field(default=(), compare=False, repr=False)

    @property
    def errors(self) -> Tensor:
        """In per cent, (rows, models); NaN where a cell is marked as without one."""
        errors = [[cell.error for cell in row.cells] for row in self.rows]
        return torch.tensor([[math.nan if e is None else e for e in row] for row in errors])

    @property
    def marks(self) -> list[str]:
        """The marks in use, in the order of `MARKS`."""
        used = {cell.mark for row in self.rows for cell in row.cells}
        return [mark for mark in MARKS if mark in used]

    def row(self, title: str) -> TableRow:
        """Return the row of that title.

        Raises:
            KeyError: There is none.
        """
        for row in self.rows:
            if row.title == title:
                return row
        raise KeyError(title)


def tabulate(
    columns: Mapping[str, Tensor],
    sets: Sequence[SetName],
    models: Sequence[str],
    failures: Mapping[str, str],
) -> Table:
    """Count errors.

    Args:
        columns: `labels` (n,); `PREDICTIONS` (n, S, M), `NO_PREDICTION` where there is none;
            `counted`, whether the image belongs to the set, and `there`, whether the set could be
            made, bool (n, S); `distortion` (n, S).
        sets: S names.
        models: M names.
        failures: What went wrong, by the model's name.
    """
    predictions = columns[PREDICTIONS].permute(1, 2, 0)
    counted = columns["counted"].T.unsqueeze(1)
    rates = TransferRates(len(sets), len(models))
    rates.update(predictions, columns["labels"], counted)
    known = (predictions != NO_PREDICTION).all(2) & columns["there"].all(0).unsqueeze(1)
    wrong, images = rates.wrong, rates.examples
    clean = next(s for s, name in enumerate(sets) if name.kind == "clean")
    rows = []
    for s, name in enumerate(sets):
        cells = tuple(
            Cell(int(wrong[s, m]), int(images[s, m]), _mark(known, wrong, images, clean, s, m))
            for m in range(len(models))
        )
        members = columns["counted"][:, s]
        distortions = Distortions.of(columns["distortion"][members, s])
        rows.append(
            TableRow(name.title, name, len(members), int(members.sum()), distortions, cells)
        )
    return Table(tuple(models), tuple(rows), dict(failures))


def _mark(known: Tensor, wrong: Tensor, images: Tensor, clean: int, s: int, m: int) -> str:
    if not known[s, m]:
        return FAILED
    if images[s, m] == 0:
        return EMPTY
    never = bool(known[clean, m]) and int(wrong[clean, m]) == int(images[clean, m])
    return NEVER_CORRECT if never else ""
