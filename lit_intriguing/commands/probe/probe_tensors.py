"""The work itself: each model predicts around its own examples; no files, no Trainer."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from lit_intriguing.attacks.examples import Examples
from lit_intriguing.autograd import grad_island, ordinary, preserved
from lit_intriguing.commands.probe.job import DIRECTIONS, ProbeJob
from lit_intriguing.commands.probe.table import Probes, tabulate
from lit_intriguing.errors import UserError
from lit_intriguing.metrics.probing import KINDS, along, around, random_steps
from lit_intriguing.model_sets.predictions import (
    ChunkInputs,
    ChunkResult,
    chunk_by_chunk,
    chunk_generator,
    reason_of,
)
from lit_intriguing.splice import INPUT, tail
from lit_intriguing.types import UNBOUNDED, Bounds


def probe_tensors(
    models: Mapping[str, nn.Module | Callable[[Tensor], Tensor]],
    images: Tensor,
    labels: Tensor,
    job: ProbeJob | None = None,
    *,
    progress: bool = False,
) -> Probes:
    """Measure each model along the lines to its adversarial examples and in noise around them.

    `lightning probe` gives the same numbers of a split.

    Args:
        models: Name to what maps images to logits `(N, C)`; put into evaluation mode meanwhile.
        images: `(N, *S)`, N at least 1, on the models' device.
        labels: True labels, int `(N,)`.
        job: What is asked for.
        progress: Show a bar on standard error.

    Returns:
        The numbers; a model that fails has none and a line in `failures`.

    Raises:
        ValueError: There are no images.
        UsageError: A number of the job is out of range.
    """
    job = job or ProbeJob()
    columns, failures = chunk_by_chunk(models, images, labels, job, probe, "Probe", progress)
    return tabulate(columns, job, list(models), failures)


def probe(inputs: ChunkInputs, job: ProbeJob) -> ChunkResult:
    """Measure the models around a chunk of images.

    Args:
        inputs: Models and images.
        job: What is asked for.

    Returns:
        Columns of n rows, M models, T factors, K centres, L noise lengths: `labels` (n,);
        `counted`, whether the model is correct on the image and its example succeeds, bool (n, M);
        `distortion` (n, M); `kinds` int8 (n, M, 2, T) and `probabilities` (n, M, 2, T, 3) along
        the two directions; `counts` int16 (n, M, K, L, 3), of the draws.
    """
    columns = _blank(len(inputs.labels), len(inputs.names), job)
    columns["labels"] = inputs.labels.cpu()
    failures: dict[str, str] = {}
    for m, name in enumerate(inputs.names):
        if name not in inputs.models:
            continue
        model = inputs.models[name]
        try:
            found = _of_model(model, inputs.make(name, model), job, inputs.index)
        except Exception as error:
            failures[name] = reason_of(error)
            continue
        for key, value in found.items():
            columns[key][:, m] = value.to(columns[key])
    return ChunkResult(columns, failures)


def _blank(count: int, models: int, job: ProbeJob) -> dict[str, Tensor]:
    along = (count, models, len(DIRECTIONS), len(job.factors))
    around = (count, models, len(job.centres), len(job.noise), len(KINDS))
    return {
        "counted": torch.zeros(count, models, dtype=torch.bool),
        "distortion": torch.zeros(count, models),
        "kinds": torch.zeros(along, dtype=torch.int8),
        "probabilities": torch.zeros(*along, len(KINDS)),
        "counts": torch.zeros(around, dtype=torch.int16),
    }


def _of_model(model: nn.Module, examples: Examples, job: ProbeJob, index: int) -> dict[str, Tensor]:
    """Return one model's columns."""
    clean, labels = ordinary(examples.clean), ordinary(examples.labels)
    reached = ordinary(examples.adversarial_predictions)
    counted = examples.success & (examples.predictions == labels) & (reached != labels)
    # Images that do not count are measured too, so that all models meet the same noise.
    targets = torch.where(counted, reached, torch.where(labels == 0, 1, 0))
    step = ordinary(examples.adversarial) - clean
    box = (job.bounds or Bounds()) if job.clip else UNBOUNDED
    generator = chunk_generator(job, index)
    with preserved(model), grad_island(), torch.no_grad():
        logits = _Finite(tail(model, INPUT, clean))
        lines = [
            along(logits, clean, one, job.factors, labels, targets, box)
            for one in (step, random_steps(step, generator))
        ]
        centres = torch.stack([clean + factor * step for factor in job.centres])
        counts = around(logits, centres, job.noise, job.draws, labels, targets, generator, box)
    return {
        "counted": counted,
        "distortion": examples.distortion,
        "kinds": torch.stack([line.kinds for line in lines], 1),
        "probabilities": torch.stack([line.probabilities for line in lines], 1),
        "counts": counts,
    }


class _Finite:
    """A model whose logits are refused where they are not finite."""

    def __init__(self, model: Callable[[Tensor], Tensor]) -> None:
        self.model = model

    def __call__(self, x: Tensor) -> Tensor:
        logits = self.model(x)
        if not bool(logits.isfinite().all()):
            raise UserError("its logits are not finite.")
        return logits
