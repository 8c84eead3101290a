"""Results of `lightning probe`: `along.csv`, `around.csv` and their figures."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lit_intriguing.commands.report.result import (
    Picture,
    Shown,
    Table,
    Value,
    between,
    number,
    rows_of,
)

KIND, FILE = "probing", "along.csv"
Row = Mapping[str, str]


def read(folder: Path) -> dict[str, Any]:
    """Return the fields of a `Result`."""
    along, around = rows_of(folder / FILE), rows_of(folder / "around.csv")
    models = list(dict.fromkeys(row["model"] for row in along))
    return {
        "headline": "; ".join(_sentence(model, around) for model in models),
        "tables": [_along(along), _around(around)],
        "pictures": _pictures(folder),
    }


def _sentence(model: str, around: Sequence[Row]) -> str:
    """Say how a model does in noise around its examples, at the smallest length."""
    there = [r for r in around if r["model"] == model and float(r["centre"]) == 1]
    if not there:
        return f"{model}: nothing around examples"
    least = min(there, key=lambda row: float(row["noise"]))
    wrong = number(str(100 * float(least["wrong"])), ".1f")
    return f"{model}: {wrong}% wrong in noise of {float(least['noise']):g} around examples"


def _along(rows: Sequence[Row]) -> Table:
    factors = list(dict.fromkeys(row["factor"] for row in rows))
    return Table(
        "Wrong predictions, %, at multiples of each image's own perturbation, and of a random "
        "direction of its length, with 95% intervals.",
        ["network, direction", *(f"{float(factor):g}" for factor in factors)],
        _crossed(rows, ("model", "direction"), "factor", factors, ("wrong", "low", "high")),
    )


def _around(rows: Sequence[Row]) -> Table:
    lengths = list(dict.fromkeys(row["noise"] for row in rows))
    return Table(
        "Wrong predictions, %, in Gaussian noise of these standard deviations around the image "
        "(0), its example (1) and further points, with 95% intervals.",
        ["network, centre", *(f"{float(length):g}" for length in lengths)],
        _crossed(rows, ("model", "centre"), "noise", lengths, ("wrong", "wrong low", "wrong high")),
    )


def _crossed(
    rows: Sequence[Row],
    heads: tuple[str, str],
    across: str,
    order: Sequence[str],
    columns: tuple[str, str, str],
) -> list[list[Shown]]:
    """Lay rows out as a table: two columns are the name of a row, a third its columns."""
    cells = {(row[heads[0]], row[heads[1]], row[across]): row for row in rows}
    names = dict.fromkeys((row[heads[0]], row[heads[1]]) for row in rows)
    return [
        [", ".join(name), *(_percent(cells[(*name, one)], columns) for one in order)]
        for name in names
    ]


def _percent(row: Row, columns: tuple[str, str, str]) -> Value:
    value, low, high = (str(100 * float(row[name])) if row[name] else "" for name in columns)
    return Value(number(value, ".1f"), between(low, high, ".1f"))


def _pictures(folder: Path) -> list[Picture]:
    found = {
        "along.png": "Predictions along each adversarial perturbation and a random direction",
        "around.png": "Share of wrong predictions in growing noise around images and examples",
    }
    return [Picture(folder / name, alt) for name, alt in found.items() if (folder / name).is_file()]
