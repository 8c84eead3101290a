"""The sets of a transfer study as pictures (the paper's figure 7)."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from lit_intriguing.attacks.examples import Examples
from lit_intriguing.commands.transfer.sets import CLEAN, SetName, TransferJob
from lit_intriguing.commands.transfer.table import Line, Table
from lit_intriguing.commands.transfer.transfer_tensors import row_sets
from lit_intriguing.figures.canvas import png
from lit_intriguing.figures.examples import drawn_as_images
from lit_intriguing.figures.panels import Panel, pair_panels


def write_pictures(drawn: Sequence[Panel], folder: Path, title: str) -> None:
    """Writes `examples.png` and says so.

    Args:
        drawn: See `panels`.
        folder: Where to.
        title: Heading.
    """
    path = folder / "examples.png"
    path.write_bytes(png(pair_panels(drawn, title=title)))
    print(f"{len(drawn[0].clean)} rows of each set are drawn in {path}")


def panels(
    table: Table, job: TransferJob, examples: Mapping[str, Examples], count: int
) -> list[Panel]:
    """The same rows of every set but the clean one, with distortion and accuracy of all rows.

    Args:
        table: The numbers.
        job: What was asked for.
        examples: Of the first chunk, by the model's name.
        count: How many rows; the first that count in every set.

    Returns:
        A panel for each set that there is; none where no row counts in all of them, or where rows
        are no images.
    """
    if not examples:
        return []
    clean = next(iter(examples.values())).clean
    if not drawn_as_images(clean.shape):
        return []
    sets = row_sets(clean, examples, job, index=0)
    del sets[CLEAN]
    rows = torch.stack([one.counted for one in sets.values()]).all(0).nonzero()[:count, 0]
    if not len(rows):
        return []
    return [
        Panel(clean[rows], one.images[rows], _title(name), _caption(table, table.line(name.title)))
        for name, one in sets.items()
    ]


def _caption(table: Table, line: Line) -> str:
    right = ", ".join(
        f"{model} {100 - cell.error:.1f}%"
        for model, cell in zip(table.models, line.cells, strict=True)
        if cell.error is not None
    )
    return f"distortion {line.distortions.mean:.3g}\nright: {right}"


def _title(name: SetName) -> str:
    return f"Gaussian noise, stddev {name.stddev:g}" if name.kind == "noise" else name.title
