"""Results of `lightning transfer`: `transfer.csv` and its figures."""

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
    span,
)

KIND, FILE = "transfer", "transfer.csv"
_CAPTION = (
    "Error of the column's network on the row's images, %, with 95% intervals. "
    "Distortion: mean root mean square change of a pixel. The row `clean` is of the images that "
    "were attacked, before that."
)
Row = Mapping[str, str]


def read(folder: Path) -> dict[str, Any]:
    """Return the fields of a `Result`."""
    rows = rows_of(folder / FILE)
    sets = list(dict.fromkeys(row["set"] for row in rows))
    models = list(dict.fromkeys(row["model"] for row in rows))
    cells = {(row["set"], row["model"]): row for row in rows}
    body: list[list[Shown]] = []
    for name in sets:
        shown = [_error(cells[name, model]) for model in models]
        body.append([name, _distortion(cells[name, models[0]]), *shown])
    networks = _networks(rows, models)
    parts = _parts(rows, networks)
    return {
        "headline": f"{parts['distances']}; {parts['transfer']}",
        "parts": parts,
        "tables": [Table(_CAPTION, ["images", "distortion", *models], body)],
        "views": {"networks": networks},
        "pictures": _pictures(folder, models),
        "notes": [f"{r['set']}, {r['model']}: {r['mark']}" for r in rows if r["mark"]],
    }


def _error(row: Row) -> Shown:
    if not row["error"]:
        return row["mark"]
    interval = between(row["low"], row["high"], ".1f")
    return Value(number(row["error"], ".1f"), interval, number(row["paper"], "g"))


def _distortion(row: Row) -> Shown:
    paper = number(row["paper distortion"], "g")
    measured = number(row["distortion"], ".4f")
    return Value(measured, paper=paper) if measured else ""


def _networks(rows: Sequence[Row], models: Sequence[str]) -> Table:
    """Return a row for each network: errors on whole splits, distance of its own examples."""
    clean = [name for name in dict.fromkeys(r["set"] for r in rows if r["kind"] == "clean")]
    whole = [name for name in clean if name != "clean"] or clean
    body: list[list[Shown]] = []
    for model in models:
        of_model = {row["set"]: row for row in rows if row["model"] == model}
        own = [row for row in _own(rows) if row["model"] == model]
        distortion = _distortion(own[0]) if own else ""
        body.append([model, *(_error(of_model[name]) for name in whole), distortion])
    caption = (
        "Errors, %, with 95% intervals, and the mean distortion of each network's own adversarial "
        "examples."
    )
    return Table(caption, ["network", *whole, "distortion"], body)


def _own(rows: Sequence[Row]) -> list[Row]:
    """Return the rows of networks on the examples made for them."""
    return [r for r in rows if r["kind"] == "adversarial" and r["model"] == r["made for"]]


def _parts(rows: Sequence[Row], networks: Table) -> dict[str, str]:
    """Return what claims ask for: errors, distances, transfer to others, noise."""
    of_split = networks.columns[-2]
    errors = ", ".join(f"{row[0]} {_text(row[-2])}%" for row in networks.rows)
    own = [(r["model"], number(r["distortion"], ".4f")) for r in _own(rows)]
    return {
        "errors": f"{of_split}: {errors}",
        "distances": "nearest examples at a mean distortion of "
        + ", ".join(f"{distortion} ({model})" for model, distortion in own),
        "transfer": "; ".join(["examples fool other networks in " + _others(rows), *_noise(rows)]),
        "noise": "; ".join(
            [f"examples at {_own_distances(rows)} fool their network", *_noise(rows)]
        ),
    }


def _text(cell: Shown) -> str:
    return cell.text if isinstance(cell, Value) else cell


def _others(rows: Sequence[Row]) -> str:
    """Say how often examples fool other networks, as they are and amplified."""
    found = [f"{_range(rows, 'adversarial', '')}"]
    for stddev in dict.fromkeys(r["stddev"] for r in rows if r["kind"] == "amplified"):
        found.append(f"amplified to {float(stddev):g} in {_range(rows, 'amplified', stddev)}")
    return ", ".join(found)


def _range(rows: Sequence[Row], kind: str, stddev: str) -> str:
    of_kind = [r for r in rows if r["kind"] == kind and r["stddev"] == stddev and r["error"]]
    return span([float(r["error"]) for r in of_kind if r["model"] != r["made for"]], ".1f", "%")


def _noise(rows: Sequence[Row]) -> list[str]:
    """Say for each size of noise how often networks are wrong."""
    names = dict.fromkeys(r["set"] for r in rows if r["kind"] == "noise")
    errors = {
        name: [float(r["error"]) for r in rows if r["set"] == name and r["error"]] for name in names
    }
    return [f"{name}: {span(found, '.1f', '%')} wrong" for name, found in errors.items()]


def _own_distances(rows: Sequence[Row]) -> str:
    known = [float(r["distortion"]) for r in _own(rows) if number(r["distortion"], "g")]
    return span(known, ".4f")


def _pictures(folder: Path, models: Sequence[str]) -> list[Picture]:
    names = ", ".join(models)
    found = {
        "transfer.png": f"Heat map of the errors of {names} on each set of examples",
        "examples.png": f"Images and, beside each, its adversarial example for {names}, and noise",
    }
    return [Picture(folder / name, alt) for name, alt in found.items() if (folder / name).is_file()]
