"""Results of `lightning units`: `units.csv` and its figures."""

import math
from collections.abc import Mapping
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

KIND, FILE = "units", "units.csv"


def read(folder: Path) -> dict[str, Any]:
    """Return the fields of a `Result`."""
    rows = rows_of(folder / FILE)
    body: list[list[Shown]] = [
        [
            row["layer"], row["network"], row["basis"], f"{row['active']}/{row['directions']}",
            _effect(row), number(row["p"], ".3f"), row["note"] or row["verdict"],
        ]
        for row in rows
    ]  # fmt: skip
    caption = (
        f"Units against random directions, {rows[0]['images']} images. Effect: difference of mean "
        "coherence, in standard deviations of single random directions, with 95% intervals."
    )
    columns = ["layer", "network", "basis", "active", "effect", "p", "verdict"]
    return {
        "headline": _headline(rows),
        "tables": [Table(caption, columns, body)],
        "pictures": _pictures(folder),
    }


def _effect(row: Mapping[str, str]) -> Value:
    ends = between(row["effect low"], row["effect high"], "+.2f")
    return Value(number(row["effect"], "+.2f"), ends)


def _headline(rows: list[dict[str, str]]) -> str:
    found = [
        row
        for row in rows
        if row["network"] == "trained" and row["basis"] == "units"
        and not math.isnan(float(row["effect"]))
    ]  # fmt: skip
    return "; ".join(
        f"{row['layer']} {float(row['effect']):+.2f} "
        f"[{float(row['effect low']):+.2f}, {float(row['effect high']):+.2f}] ({row['verdict']})"
        for row in found
    )


def _pictures(folder: Path) -> list[Picture]:
    effects = folder / "effects.png"
    alt = "Effects of all layers, trained and untrained, with intervals"
    found = [Picture(effects, alt)] if effects.is_file() else []
    for path in sorted(folder.glob("images_*.png")):
        layer = path.stem.removeprefix("images_")
        alt = f"Layer {layer}: images at the top of units, and of random directions"
        found.append(Picture(path, alt))
    return found
