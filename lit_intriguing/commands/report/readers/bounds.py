"""Results of `lightning lipschitz`: `lipschitz.csv`, `summary.json` and a figure."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lit_intriguing.commands.report.result import (
    Picture,
    Shown,
    Table,
    Value,
    number,
    rows_of,
    span,
)
from lit_intriguing.lipschitz.layer_bounds import FOLDED

KIND, FILE = "Lipschitz bounds", "lipschitz.csv"


def read(folder: Path) -> dict[str, Any]:
    """Return the fields of a `Result`."""
    rows = rows_of(folder / FILE)
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    body: list[list[Shown]] = [
        [row["layer"], row["type"], row["input shape"], _bound(row), row["kind"]] for row in rows
    ]
    layers = Table(
        "Upper bound of each layer's Lipschitz constant, L2.",
        ["layer", "type", "input shape", "bound", "kind"],
        body,
    )
    figure = Picture(folder / "lipschitz.png", "Bars: the bound of each layer and of the network")
    return {
        "headline": _headline(rows, summary),
        "tables": [layers, _network(summary)],
        "pictures": [figure] if (folder / "lipschitz.png").is_file() else [],
        "notes": [f"{row['layer']}: {row['note']}" for row in rows if row["note"]],
    }


def _bound(row: Mapping[str, str]) -> Value:
    return Value(number(row["bound"], ".4g"), paper=number(row.get("paper", ""), "g"))


def _headline(rows: list[dict[str, str]], summary: Mapping[str, Any]) -> str:
    # One that is folded into another is bounded with it; any other note is about its own bound.
    bounds = [float(row["bound"]) for row in rows if not row["note"].startswith(FOLDED)]
    finite = [bound for bound in bounds if bound != float("inf")]
    head = f"{len(finite)} of {len(bounds)} layers bounded, {span(finite, '.3g')}"
    certified = [
        f"{share:.1%} of {summary['rows']} images certified at radius {radius}"
        for radius, share in summary["certified_accuracy"].items()
    ]
    return "; ".join([head, *certified])


def _network(summary: Mapping[str, Any]) -> Table:
    rows: list[list[Shown]] = []
    for name in ("product", "joint"):
        if name in summary:
            norm = summary[name]
            bound = "not bounded" if norm["bound"] is None else f"{norm['bound']:.4g}"
            rows.append([f"network, {name} bound", bound, norm["kind"], norm["reason"]])
    for radius, share in summary["certified_accuracy"].items():
        rows.append([f"certified accuracy at L2 radius {radius}", f"{share:.2%}", "", ""])
    return Table("Of the whole network.", ["what", "value", "kind", "remark"], rows)
