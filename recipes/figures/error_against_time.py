"""Draws error against training length, from the logs of runs or from tables of results.

Each curve is a name and files; a directory stands for all `metrics.csv` below it:

    python recipes/figures/error_against_time.py error.png "all layers=logs/all" "none=none.csv"

A log of Lightning's CSVLogger gives one seed: for `test/error` a point at the run's last epoch, for
`--metric val/error` a point an epoch. A table of results has the columns `epochs` and `error` (a
fraction), one line a run.
"""

import argparse
import csv
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from lit_intriguing.figures import error_curves

Point = tuple[float, float]


def points(file: Path, metric: str) -> list[Point]:
    """Read pairs of training length in epochs and error as a fraction.

    Raises:
        SystemExit: If the file has neither that metric nor the columns of a table.
    """
    with file.open(newline="", encoding="utf-8") as opened:
        rows = list(csv.DictReader(opened))
    columns = set(rows[0]) if rows else set()
    if {"epochs", "error"} <= columns:
        return [(float(row["epochs"]), float(row["error"])) for row in rows]
    if not {"epoch", metric} <= columns:
        raise SystemExit(f"{file}: neither the columns 'epochs' and 'error' nor a log of {metric}")
    # Lightning counts the epoch in progress from 0; after the last one it is the number done.
    late = 0 if metric.startswith("test/") else 1
    return [(float(row["epoch"]) + late, float(row[metric])) for row in rows if row[metric]]


def curve(files: Sequence[Path], metric: str) -> tuple[Tensor, Tensor]:
    """Return lengths `(K,)` in epochs and errors `(S, K)` in per cent; NaN fills the gaps."""
    at: dict[float, list[float]] = {}
    for file in files:
        for epochs, error in points(file, metric):
            at.setdefault(epochs, []).append(100 * error)
    lengths = sorted(at)
    errors = torch.full((max(map(len, at.values()), default=0), len(lengths)), torch.nan)
    for column, epochs in enumerate(lengths):
        errors[: len(at[epochs]), column] = torch.tensor(at[epochs])
    return torch.tensor(lengths), errors


def files_of(path: Path) -> list[Path]:
    """Return the file itself, or the logs below a directory.

    Raises:
        SystemExit: If there is none.
    """
    found = sorted(path.rglob("metrics.csv")) if path.is_dir() else [path]
    if not found or not found[0].is_file():
        raise SystemExit(f"no file {path}, and no metrics.csv below it")
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path", type=Path, help="PNG to write")
    parser.add_argument("curves", nargs="+", metavar="NAME=FILE", help="the same name adds seeds")
    parser.add_argument("--metric", default="test/error", help="column of the logs")
    parser.add_argument("--reference", type=float, help="an error to compare with, per cent")
    parser.add_argument("--reference-label", default="", help="what it is")
    options = parser.parse_args(arguments)
    files: dict[str, list[Path]] = {}
    for given in options.curves:
        name, equals, path = given.partition("=")
        if not equals:
            parser.error(f"expected NAME=FILE, not '{given}'")
        files.setdefault(name, []).extend(files_of(Path(path)))
    figure = error_curves(
        {name: curve(several, options.metric) for name, several in files.items()},
        y_label=f"{options.metric.replace('/', ' ')}, %",
        reference=options.reference,
        reference_label=options.reference_label,
    )
    figure.savefig(options.path, dpi=150)


if __name__ == "__main__":
    main()
