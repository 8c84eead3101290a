"""The files that a comparison leaves: table, figure of effects, a grid of images for each layer."""

import re
from pathlib import Path
from typing import Any

from lit_intriguing.commands.units.job import UnitJob
from lit_intriguing.commands.units.second_look import Reader
from lit_intriguing.figures.canvas import png
from lit_intriguing.figures.examples import drawn_as_images
from lit_intriguing.figures.top_images import TopImages, top_images_figure
from lit_intriguing.figures.unit_effects import effects_figure
from lit_intriguing.tables import Cell, csv_table, terminal_table
from lit_intriguing.units.analyse import TRAINED, UnitReport
from lit_intriguing.units.analysis import LayerAnalysis
from lit_intriguing.units.chosen import Chosen, chosen
from lit_intriguing.units.table import COLUMNS, table_rows
from lit_intriguing.whole_files import write_bytes


def write(
    folder: Path, report: UnitReport, reader: Reader, job: UnitJob
) -> tuple[list[str], dict[str, Any]]:
    """Write `units.csv`, `effects.png` and, of images, one grid for each layer.

    Args:
        folder: Where to; it exists.
        report: The comparison.
        reader: Of images.
        job: What was asked for.

    Returns:
        The names of the files, and the table for a terminal as `text`.
    """
    write_bytes(folder / "units.csv", csv_table(COLUMNS, table_rows(report.analyses)).encode())
    effects = effects_figure(report.analyses, title=f"Units against random directions: {_by(job)}")
    write_bytes(folder / "effects.png", png(effects))
    grids = [
        name
        for one in report.analyses
        if one.network == TRAINED and not one.note
        if (name := _write_grid(folder, one, reader, job))
    ]
    return ["units.csv", "effects.png", *grids], {"text": text(report, job)}


def text(report: UnitReport, job: UnitJob) -> str:
    """Return the table for a terminal, and what to know when reading it."""
    columns = ["layer", "network", "basis", "active", "effect [95%]", "p", "top tenth p", "verdict"]
    rows: list[list[Cell]] = [
        [one.layer, one.network, one.basis, f"{one.active}/{len(one.coherence)}", str(one.effect),
         *(f"{test.p:.3f}" if test else "" for test in (one.mean, one.top_tenth)),
         one.note or one.verdict]
        for one in report.analyses
    ]  # fmt: skip
    lines = [terminal_table(columns, rows), f"{report.images} images; {_by(job)}."]
    if job.scan.rotations < 39:
        lines.append(
            f"With {job.scan.rotations} rotations p is at least "
            f"{2 / (job.scan.rotations + 1):.2g}, so no verdict names a side: use 39 or more."
        )
    return "\n".join(lines)


def _by(job: UnitJob) -> str:
    reading = type(job.scan.reading).__name__
    return f"coherence by {_alike(job)}, top {job.scan.k} images, reading {reading}"


def _alike(job: UnitJob) -> str:
    if job.features is None:
        return "labels"
    name = getattr(job.features, "name", type(job.features).__name__)
    return f"features of {name}"


def _write_grid(folder: Path, one: LayerAnalysis, reader: Reader, job: UnitJob) -> str | None:
    sides = chosen(one, job.rows)
    panels = [_panel(side, reader, title) for side, title in zip(sides, _TITLES, strict=True)]
    if not drawn_as_images(panels[0].images.flatten(0, 1).shape):
        return None
    low_to_high = "from the most coherent direction to the least, in equal steps"
    figure = top_images_figure(
        panels,
        title=f"Layer {one.layer}: effect {one.effect}, {one.verdict}",
        caption=f"Number beside each row: coherence by {_alike(job)}. Rows: {low_to_high}.",
    )
    basis = "" if one.basis == "units" else f"_{one.basis}"
    name = re.sub(r"[^\w.-]", "_", f"images_{one.layer}{basis}.png")
    write_bytes(folder / name, png(figure))
    return name


_TITLES = ("units (natural basis)", "random directions")


def _panel(side: Chosen, reader: Reader, title: str) -> TopImages:
    return TopImages(
        reader.images(side.indices).float(), side.names, side.coherence.tolist(), title
    )
