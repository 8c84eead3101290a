"""The work itself: sets made of images, each predicted by every model; no files, no Trainer."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from lit_intriguing.attacks.example_sets import (
    ExampleSet,
    adversarial_set,
    amplified_set,
    clean_set,
    noise_set,
)
from lit_intriguing.attacks.examples import Examples
from lit_intriguing.autograd import ordinary
from lit_intriguing.commands.transfer.job import CLEAN, SetName, TransferJob
from lit_intriguing.commands.transfer.table import NO_PREDICTION, PREDICTIONS, Table, tabulate
from lit_intriguing.model_sets.predictions import (
    ChunkInputs,
    ChunkResult,
    WorkingModels,
    chunk_by_chunk,
    chunk_generator,
)
from lit_intriguing.types import Bounds


def transfer_tensors(
    models: Mapping[str, nn.Module | Callable[[Tensor], Tensor]],
    images: Tensor,
    labels: Tensor,
    job: TransferJob | None = None,
    *,
    progress: bool = False,
) -> Table:
    """Make examples of images for each model, and measure every model's errors on all of them.

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
        ValueError: There are no images.
        UsageError: A number of the job is out of range.
    """
    job = job or TransferJob()
    columns, failures = chunk_by_chunk(models, images, labels, job, evaluate, "Transfer", progress)
    return tabulate(columns, job.sets(models), list(models), failures)


def evaluate(inputs: ChunkInputs, job: TransferJob) -> ChunkResult:
    """Make the sets of a chunk and have every model predict each: a forward pass a pair.

    Args:
        inputs: Models and images.
        job: What is asked for.

    Returns:
        Columns for `tabulate`, of n rows.
    """
    images, labels = ordinary(inputs.images), ordinary(inputs.labels).long()
    working = WorkingModels(dict(inputs.models))
    clean = working.clean_predictions(images)
    attacked = list(working.models) if job.adversarial else []
    made = {name: working.examples(name, inputs.make) for name in attacked}
    examples = {name: one for name, one in made.items() if one is not None}
    sets = example_sets(images, examples, job, inputs.index)
    sets[CLEAN] = replace(sets[CLEAN], known=clean)
    columns = _columns(job.sets(inputs.names), inputs.names, sets, labels, working)
    return ChunkResult(columns, working.failures)


def example_sets(
    images: Tensor, examples: Mapping[str, Examples], job: TransferJob, index: int
) -> dict[SetName, ExampleSet]:
    """Return the sets of a chunk, without those of models that have no examples.

    Args:
        images: `(n, *S)`.
        examples: By the model's name.
        job: What is asked for.
        index: The chunk's number.
    """
    box = (job.bounds or Bounds()) if job.clip else None
    sets: dict[SetName, ExampleSet] = {}
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
    titles: list[SetName],
    names: list[str],
    sets: Mapping[SetName, ExampleSet],
    labels: Tensor,
    working: WorkingModels,
) -> dict[str, Tensor]:
    count = len(labels)
    predictions = torch.full((count, len(titles), len(names)), NO_PREDICTION, dtype=torch.int32)
    there, counted = (torch.zeros(count, len(titles), dtype=torch.bool) for _ in range(2))
    distortion = torch.zeros(count, len(titles))
    for s, title in enumerate(titles):
        one = sets.get(title)
        if one is None:
            continue
        there[:, s], counted[:, s] = True, one.counted.cpu()
        distortion[:, s] = one.distortion.cpu()
        for m, name in enumerate(names):
            found = one.known.get(name)
            if found is None and name in working.models:
                found = working.predictions(name, one.images)
            if found is not None:
                predictions[:, s, m] = found.cpu().to(torch.int32)
    return {
        "labels": labels.cpu(), PREDICTIONS: predictions, "there": there, "counted": counted,
        "distortion": distortion,
    }  # fmt: skip
