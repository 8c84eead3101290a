"""What comes out: the results of each image, tables and a figure."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lit_intriguing.commands.evaluate.job import EvaluateJob
from lit_intriguing.commands.evaluate.sanity import FILE
from lit_intriguing.figures.canvas import png
from lit_intriguing.figures.error_panels import error_panels
from lit_intriguing.figures.robustness import robustness_figure
from lit_intriguing.robustness.evaluation import Evaluation
from lit_intriguing.robustness.summary import class_table, scalars, size_table, trial_table
from lit_intriguing.sanity import Finding
from lit_intriguing.tables import Cell, csv_table, terminal_table
from lit_intriguing.whole_files import draft, write_bytes

_EXAMPLES, _FIGURE = "evaluation.pt", "robustness.png"


def write(
    folder: Path,
    columns: Mapping[str, Tensor],
    job: EvaluateJob,
    seconds: float,
    findings: Sequence[Finding] = (),
) -> tuple[list[str], dict[str, Any]]:
    """Write `evaluation.pt`, `sizes.csv`, `classes.csv`, `attacks.csv` and `robustness.png`.

    Args:
        folder: Where to; it exists.
        columns: Of all images; see `Evaluation.columns`.
        job: What was asked for.
        seconds: Spent.
        findings: Of the sanity checks, whose table is there already.

    Returns:
        The names of the files; and the scalars, and the text of a table, as plain values.
    """
    found = Evaluation.of(columns, job.runs())
    with draft(folder / _EXAMPLES) as path, path.open("wb") as file:
        torch.save(dict(columns), file)
    sizes = size_table(found, job.sizes, job.shared)
    tables = {
        "sizes.csv": sizes,
        "classes.csv": class_table(found, job.sizes),
        "attacks.csv": trial_table(found),
    }
    for name, table in tables.items():
        write_bytes(folder / name, csv_table(*table).encode())
    panels = error_panels(found, job.sizes, job.shared)
    title = f"error of {len(found.labels):,} images against the size of the perturbation"
    write_bytes(folder / _FIGURE, png(robustness_figure(panels, title=title)))
    numbers = scalars(found, job.sizes, job.shared)
    known = {name: value for name, value in numbers.items() if value == value}
    lines = "\n".join([text(found, sizes, seconds), *warnings_of(findings)])
    summary = {"scalars": known, "text": lines, "seconds": round(seconds, 2)}
    return [_EXAMPLES, *tables, *([FILE] if findings else []), _FIGURE], summary


def warnings_of(findings: Sequence[Finding]) -> list[str]:
    """Return lines for a terminal: what the sanity checks warn of."""
    warned = [f"warning: {one}" for one in findings if one.warns]
    return [*warned, f"The errors may be too low: {FILE}."] if warned else []


def text(found: Evaluation, table: tuple[list[str], list[list[Cell]]], seconds: float) -> str:
    """Return lines for a terminal: what was evaluated, and the errors at each size."""
    columns, rows = table
    shown = [
        (at, name)
        for at, name in enumerate(columns)
        if found.certified or name != "not certified, %"
    ]
    cells = [[_shown(name, row[at]) for at, name in shown] for row in rows]
    head = (
        f"{len(found.labels)} images, error {float(found.wrong.double().mean()):.2%} without an "
        f"attack, {float(found.queries.double().mean()):.1f} gradient evaluations an image, "
        f"{seconds:.1f} seconds"
    )
    return f"{head}\n{terminal_table([name for _, name in shown], cells)}"


def _shown(column: str, cell: Cell) -> Cell:
    if not isinstance(cell, float):
        return cell
    return f"{cell:.2f}" if column.endswith("%") else f"{cell:g}"
