"""The work itself: sets made of rows, each shown to every model; without files or a Trainer."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from lit_intriguing.attacks.example_sets import (
    RowSet,
    adversarial_set,
    amplified_set,
    clean_set,
    noise_set,
)
from lit_intriguing.attacks.examples import Examples
from lit_intriguing.autograd import ordinary
from lit_intriguing.commands.transfer.sets import CLEAN, SetName, TransferJob
from lit_intriguing.commands.transfer.table import Table, tabulate
from lit_intriguing.model_sets.examples import Maker
from lit_intriguing.model_sets.predictions import UNKNOWN, Judged, chunk_by_chunk, chunk_generator
from lit_intriguing.model_sets.predictions import Court as _Court
from lit_intriguing.types import Bounds


def transfer_tensors(
    models: Mapping[str, nn.Module | Callable[[Tensor], Tensor]],
    images: Tensor,
    labels: Tensor,
    job: TransferJob | None = None,
    *,
    progress: bool = False,
) -> Table:
    """Makes examples for each model and shows them to all, on the rows of two tensors.

    `lightning transfer` gives the same numbers of a split.

    Args:
        models: Name to what maps images to logits `(N, C)`; put into evaluation mode meanwhile.
        images: `(N, *S)`, N at least 1, on the models' device.
        labels: True labels, int `(N,)`.
        job: What is asked for.
        progress: Show a bar on standard error.

    Returns:
        The table; a model that fails has marked cells and a line in `failures`.

    Raises:
        ValueError: No rows.
    """
    job = job or TransferJob()
    job.check()
    if len(images) == 0:
        raise ValueError("nothing to attack: no rows.")
    names = list(models)
    columns, failures = chunk_by_chunk(models, images, labels, job, judge, "Transfer", progress)
    return tabulate(columns, job.sets(names), names, failures)


def judge(
    models: Mapping[str, nn.Module],
    names: list[str],
    images: Tensor,
    labels: Tensor,
    job: TransferJob,
    index: int,
    make: Maker,
) -> Judged:
    """Makes the sets of a chunk and shows each to every model: a forward pass a pair.

    Args:
        models: Those that could be loaded, by name.
        names: All models of the table.
        images: `(n, *S)`.
        labels: `(n,)`.
        job: What is asked for.
        index: The chunk's number.
        make: Makes a model's examples, or has them.
    """
    images, labels = ordinary(images), ordinary(labels).long()
    court = _Court(dict(models))
    clean = court.clean_answers(images)
    made = (
        {name: court.examples(name, make) for name in list(court.models)} if job.adversarial else {}
    )
    examples = {name: one for name, one in made.items() if one is not None}
    sets = row_sets(images, examples, job, index)
    sets[CLEAN] = replace(sets[CLEAN], known=clean)
    columns = _columns(job.sets(names), names, sets, labels, court)
    return Judged(columns, court.failures)


def row_sets(
    images: Tensor, examples: Mapping[str, Examples], job: TransferJob, index: int
) -> dict[SetName, RowSet]:
    """The sets of a chunk, without those of models that have no examples.

    Args:
        images: `(n, *S)`.
        examples: By the model's name.
        job: What is asked for.
        index: The chunk's number.
    """
    box = (job.bounds or Bounds()) if job.clip else None
    sets: dict[SetName, RowSet] = {}
    for name in job.sets(examples):
        if name.model is None and name.stddev is None:
            sets[name] = clean_set(images)
        elif name.model is None:
            assert name.stddev is not None
            sets[name] = noise_set(images, name.stddev, chunk_generator(job, index), box)
        elif name.stddev is None:
            sets[name] = adversarial_set(examples[name.model], name.model)
        else:
            sets[name] = amplified_set(examples[name.model], name.stddev, box)
    return sets


def _columns(
    lines: list[SetName],
    names: list[str],
    sets: Mapping[SetName, RowSet],
    labels: Tensor,
    court: _Court,
) -> dict[str, Tensor]:
    count = len(labels)
    answers = torch.full((count, len(lines), len(names)), UNKNOWN, dtype=torch.int32)
    there, counted = (torch.zeros(count, len(lines), dtype=torch.bool) for _ in range(2))
    distortion = torch.zeros(count, len(lines))
    for s, line in enumerate(lines):
        rows = sets.get(line)
        if rows is None:
            continue
        there[:, s], counted[:, s] = True, rows.counted.cpu()
        distortion[:, s] = rows.distortion.cpu()
        for m, name in enumerate(names):
            found = rows.known.get(name)
            if found is None and name in court.models:
                found = court.answers(name, rows.images)
            if found is not None:
                answers[:, s, m] = found.cpu().to(torch.int32)
    return {
        "labels": labels.cpu(), "answers": answers, "there": there, "counted": counted,
        "distortion": distortion,
    }  # fmt: skip
