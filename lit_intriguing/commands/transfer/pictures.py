"""The sets of a transfer study as pictures (the paper's figure 7)."""

from collections.abc import Mapping

import torch

from lit_intriguing.attacks.examples import Examples
from lit_intriguing.commands.transfer.job import CLEAN, SetName, TransferJob
from lit_intriguing.commands.transfer.table import Table, TableRow
from lit_intriguing.commands.transfer.transfer_tensors import example_sets
from lit_intriguing.figures.examples import drawn_as_images
from lit_intriguing.figures.panels import Panel


def panels(
    table: Table, job: TransferJob, examples: Mapping[str, Examples], count: int
) -> list[Panel]:
    """Return the same images of every set but the clean one, with the whole set's numbers.

    Args:
        table: The numbers: distortion and accuracy.
        job: What was asked for.
        examples: Of the first chunk, by the model's name.
        count: How many images; the first that count in every set.

    Returns:
        A panel for each set that there is; none where no image counts in all of them, or where the
        data cannot be drawn as images.
    """
    if not examples:
        return []
    clean = next(iter(examples.values())).clean
    if not drawn_as_images(clean.shape):
        return []
    sets = example_sets(clean, examples, job, index=0)
    del sets[CLEAN]
    chosen = torch.stack([one.counted for one in sets.values()]).all(0).nonzero()[:count, 0]
    if not len(chosen):
        return []
    return [
        Panel(
            clean[chosen], one.images[chosen], _title(name), _caption(table, table.row(name.title))
        )
        for name, one in sets.items()
    ]


def _caption(table: Table, row: TableRow) -> str:
    accuracies = ", ".join(
        f"{model} {100 - cell.error:.1f}%"
        for model, cell in zip(table.models, row.cells, strict=True)
        if cell.error is not None
    )
    return f"distortion {row.distortions.mean:.3g}\naccuracy: {accuracies}"


def _title(name: SetName) -> str:
    return f"Gaussian noise, stddev {name.stddev:g}" if name.kind == "noise" else name.title
