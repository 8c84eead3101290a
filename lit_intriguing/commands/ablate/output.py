"""What comes out: a study's rows as tables and a figure."""

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from lit_intriguing.figures.canvas import png
from lit_intriguing.figures.dots import dot_plot
from lit_intriguing.intervals import interval_of_mean
from lit_intriguing.tables import Cell, csv_table, markdown_table
from lit_intriguing.training_runs.store import Result
from lit_intriguing.whole_files import write_bytes

COLUMNS = ("row", "chosen", "mean", "sd", "min", "max", "n", "failed")
COMPARISON_COLUMNS = ("row", "against", "difference", "low", "high", "n")
TUNING_COLUMNS = ("row", "candidate", "settings", "mean", "sd", "n", "failed")


@dataclass(frozen=True)
class Sample:
    """Results of the same configuration under several seeds."""

    results: Sequence[Result]

    @property
    def percents(self) -> list[float]:
        """Error of each run that succeeded, in per cent."""
        return [100 * one.error for one in self.results if one.error is not None]

    @property
    def failures(self) -> list[str]:
        """What went wrong in the others."""
        return [one.failure for one in self.results if one.failure is not None]

    @property
    def mean(self) -> float:
        """In per cent; NaN without results."""
        return _mean(self.percents)

    @property
    def deviation(self) -> float:
        """Sample standard deviation (n - 1), in percentage points; NaN below two results."""
        return statistics.stdev(self.percents) if len(self.percents) > 1 else math.nan


@dataclass(frozen=True)
class RowSummary:
    """A row's tuning and its reported runs.

    Attributes:
        candidates: The changes that were tried.
        tuned: The sample of each candidate on the validation split; empty where there was one
            candidate only.
        chosen: Which candidate has the lowest mean; None where every candidate has failed runs.
        final: The runs on the test set.
        against: Name of the row that this one is compared with.
    """

    candidates: Sequence[Mapping[str, Any]]
    tuned: Sequence[Sample]
    chosen: int | None
    final: Sample
    against: str | None = None


def choose(tuned: Sequence[Sample]) -> int | None:
    """Return the candidate with the lowest mean validation error; the first of equals.

    Args:
        tuned: A sample for each candidate. One with a failed run is out: its mean would rest on
            fewer seeds than the others'.

    Returns:
        Its number, counted from 0; None if all are out.
    """
    complete = [i for i, sample in enumerate(tuned) if sample.results and not sample.failures]
    return min(complete, key=lambda i: tuned[i].mean, default=None)


def settings(patch: Mapping[str, Any]) -> str:
    """Return a change to a configuration in one line, each value with its last three keys.

    >>> settings({"model": {"init_args": {"decay": 1e-5}}, "trainer": {"max_epochs": 9}})
    'model.decay = 1e-05, trainer.max_epochs = 9'
    >>> settings({})
    'as the row'
    """
    return ", ".join(f"{key} = {value}" for key, value in _leaves(patch, ())) or "as the row"


def _leaves(patch: Mapping[str, Any], path: tuple[str, ...]) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for key, value in patch.items():
        # These two stand in every second line of a configuration and say nothing to the reader.
        inner = path if key in ("init_args", "callbacks") else (*path, key or "input")
        if isinstance(value, Mapping) and value:
            found += _leaves(value, inner)
        else:
            found.append(
                (".".join(inner[-3:]), value if isinstance(value, str) else json.dumps(value))
            )
    return found


def final_table(rows: Mapping[str, RowSummary]) -> list[list[Cell]]:
    """Return the study's result: cells of `COLUMNS` for each row, errors in per cent."""
    return [
        [
            name,
            "none" if row.chosen is None else f"{row.chosen + 1} of {len(row.candidates)}",
            _percent(row.final.mean),
            _percent(row.final.deviation),
            _percent(min(row.final.percents, default=math.nan)),
            _percent(max(row.final.percents, default=math.nan)),
            len(row.final.percents),
            len(row.final.failures),
        ]
        for name, row in rows.items()
    ]


def comparison_table(rows: Mapping[str, RowSummary]) -> list[list[Cell]]:
    """Return cells of `COMPARISON_COLUMNS` for each row that is compared with another.

    The difference is the mean over the seeds that both rows have, in percentage points; below 0
    the row is better. `low` and `high` end its 95% interval, by Student's t of the differences.
    """
    table: list[list[Cell]] = []
    for name, row in rows.items():
        if row.against is not None and row.against in rows:
            differences = _differences(row.final, rows[row.against].final)
            numbers = [_mean(differences), *interval_of_mean(differences)]
            signed = ["" if math.isnan(one) else f"{one:+.2f}" for one in numbers]
            table.append([name, row.against, *signed, len(differences)])
    return table


def _differences(row: Sample, other: Sample) -> list[float]:
    """Pair two rows' runs: both have one a seed, in the order of the seeds."""
    return [
        100 * (mine.error - its.error)
        for mine, its in zip(row.results, other.results, strict=False)  # one may have no runs
        if mine.error is not None and its.error is not None
    ]


def tuning_table(rows: Mapping[str, RowSummary]) -> list[list[Cell]]:
    """Return what was tried: cells of `TUNING_COLUMNS` for each candidate, validation errors."""
    return [
        [
            name,
            f"{number + 1}{' (chosen)' if number == row.chosen else ''}",
            settings(row.candidates[number]),
            _percent(sample.mean),
            _percent(sample.deviation),
            len(sample.percents),
            len(sample.failures),
        ]
        for name, row in rows.items()
        for number, sample in enumerate(row.tuned)
    ]


def failures(rows: Mapping[str, RowSummary]) -> list[str]:
    """Return a line for each thing that went wrong, with its row."""
    lines = [
        f"{name}: {failure}"
        for name, row in rows.items()
        for sample in (*row.tuned, row.final)
        for failure in sample.failures
    ]
    return list(dict.fromkeys(lines))


def write_files(
    rows: Mapping[str, RowSummary],
    folder: Path,
    *,
    title: str,
    reference: float | None,
    reference_label: str,
) -> None:
    """Write `ablation.csv`, `.md` and `.png`, and `comparison.csv` where rows are compared.

    Args:
        rows: The study's result.
        folder: Where to.
        title: Heading of page and figure.
        reference: An error to compare with, in per cent.
        reference_label: What it is.
    """
    table = csv_table([*COLUMNS, "seeds"], _with_seeds(rows), newline="\r\n")
    write_bytes(folder / "ablation.csv", table.encode())
    if compared := comparison_table(rows):
        table = csv_table(COMPARISON_COLUMNS, compared, newline="\r\n")
        write_bytes(folder / "comparison.csv", table.encode())
    else:  # of another study in this folder
        (folder / "comparison.csv").unlink(missing_ok=True)
    write_bytes(folder / "ablation.md", _page(rows, title).encode())
    figure = dot_plot(
        {name: torch.tensor(row.final.percents) for name, row in rows.items()},
        label="test error, %",
        reference=reference,
        reference_label=reference_label,
        title=title,
    )
    write_bytes(folder / "ablation.png", png(figure))


def _with_seeds(rows: Mapping[str, RowSummary]) -> list[list[Cell]]:
    table = final_table(rows)
    seeds = (" ".join(_percent(one) for one in row.final.percents) for row in rows.values())
    return [[*row, errors] for row, errors in zip(table, seeds, strict=True)]


def _page(rows: Mapping[str, RowSummary], title: str) -> str:
    parts = [
        f"# {title}\n",
        "Test error of the last epoch's weights, in per cent; sd is the standard deviation over"
        " seeds.\n",
        markdown_table(COLUMNS, final_table(rows)),
    ]
    if compared := comparison_table(rows):
        parts += [
            "## Compared\n",
            "Means of the differences, seed by seed, in percentage points, with the ends of their"
            " 95% intervals; below 0 the row is better.\n",
            markdown_table(COMPARISON_COLUMNS, compared),
        ]
    if tuning := tuning_table(rows):
        parts += [
            "## Tuning\n",
            "Error on images held out from the training set, in per cent; the lowest mean is"
            " chosen.\n",
            markdown_table(TUNING_COLUMNS, tuning),
        ]
    if failed := failures(rows):
        parts += ["## Failed runs\n", "".join(f"- {line}\n" for line in failed)]
    return "\n".join(parts)


def _mean(values: Sequence[float]) -> float:
    return statistics.fmean(values) if values else math.nan


def _percent(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.2f}"
