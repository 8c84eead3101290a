"""Results of `lightning ablate`: `ablation.csv` and its figure."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lit_intriguing.commands.report.result import Picture, Shown, Table, Value, number, rows_of
from lit_intriguing.intervals import interval_of_mean

KIND, FILE = "ablation", "ablation.csv"


def read(folder: Path) -> dict[str, Any]:
    """Return the fields of a `Result`."""
    rows = rows_of(folder / FILE)
    body: list[list[Shown]] = [
        [
            row["row"], row["chosen"], _mean(row), number(row["sd"], ".2f"),
            f"{row['min']} to {row['max']}", row["n"],
        ]
        for row in rows
    ]  # fmt: skip
    caption = "Test error, %, of the last epoch's weights; means over seeds with 95% intervals."
    table = Table(caption, ["row", "candidate", "mean", "sd", "range", "seeds"], body)
    figure = Picture(folder / "ablation.png", "Test error of each row, a dot for each seed")
    return {
        "headline": "; ".join(
            f"{row['row']} {row['mean']}%{_bracket(row)}" for row in rows if row["mean"]
        ),
        "tables": [table, *_compared(folder)],
        "pictures": [figure] if (folder / "ablation.png").is_file() else [],
        "notes": [f"{r['row']}: {r['failed']} runs failed" for r in rows if int(r["failed"])],
    }


def _compared(folder: Path) -> list[Table]:
    """Return the rows' differences from one another, where the study names some."""
    file = folder / "comparison.csv"
    if not file.is_file():
        return []
    body: list[list[Shown]] = [
        [
            row["row"],
            row["against"],
            Value(row["difference"], f"{row['low']} to {row['high']}" if row["low"] else ""),
            row["n"],
        ]
        for row in rows_of(file)
    ]
    caption = "Differences seed by seed, percentage points; means with 95% intervals."
    return [Table(caption, ["row", "against", "difference", "seeds"], body)]


def _ends(row: Mapping[str, str]) -> tuple[str, str]:
    low, high = interval_of_mean([float(one) for one in row["seeds"].split()])
    return number(str(low), ".2f"), number(str(high), ".2f")


def _mean(row: Mapping[str, str]) -> Value:
    low, high = _ends(row)
    return Value(row["mean"], f"{low} to {high}" if low else "")


def _bracket(row: Mapping[str, str]) -> str:
    low, high = _ends(row)
    return f" [{low}, {high}]" if low else ""
