"""The work itself: each model asked around its own examples; without files or a Trainer."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from lit_intriguing.attacks.examples import Examples
from lit_intriguing.autograd import grad_island, ordinary, preserved
from lit_intriguing.commands.probe.points import DIRECTIONS, ProbeJob
from lit_intriguing.commands.probe.table import Probes, tabulate
from lit_intriguing.errors import UserError
from lit_intriguing.metrics.probing import KINDS, along, around, random_steps
from lit_intriguing.model_sets.examples import Maker
from lit_intriguing.model_sets.predictions import Judged, chunk_by_chunk, chunk_generator, told
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
    """Asks each model along the lines to its adversarial examples and in noise around them.

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
        ValueError: No rows.
        UsageError: A number of the job is out of range.
    """
    job = job or ProbeJob()
    job.check()
    if len(images) == 0:
        raise ValueError("nothing to probe: no rows.")
    columns, failures = chunk_by_chunk(models, images, labels, job, probe, "Probe", progress)
    return tabulate(columns, job, list(models), failures)


def probe(
    models: Mapping[str, nn.Module],
    names: list[str],
    images: Tensor,
    labels: Tensor,
    job: ProbeJob,
    index: int,
    make: Maker,
) -> Judged:
    """Asks the models about a chunk of rows.

    Args:
        models: Those that could be loaded, by name.
        names: All models of the study.
        images: `(n, *S)`.
        labels: `(n,)`.
        job: What is asked for.
        index: The chunk's number.
        make: Makes a model's examples, or has them.

    Returns:
        Columns of n rows, M models, T factors, K centres, L noise lengths: `labels` (n,);
        `counted`, whether the model reads the row rightly and its example succeeds, bool (n, M);
        `distortion` (n, M); `kinds` int8 (n, M, 2, T) and `probabilities` (n, M, 2, T, 3) along
        the two directions; `counts` int16 (n, M, K, L, 3), of the draws.
    """
    columns = _blank(len(labels), len(names), job)
    columns["labels"] = labels.cpu()
    failures: dict[str, str] = {}
    for m, name in enumerate(names):
        if name not in models:
            continue
        try:
            found = _asked(models[name], make(name, models[name]), job, index)
        except Exception as error:
            failures[name] = told(error)
            continue
        for key, value in found.items():
            columns[key][:, m] = value.to(columns[key])
    return Judged(columns, failures)


def _blank(rows: int, models: int, job: ProbeJob) -> dict[str, Tensor]:
    lines = (rows, models, len(DIRECTIONS), len(job.factors))
    clouds = (rows, models, len(job.centres), len(job.noise), len(KINDS))
    return {
        "counted": torch.zeros(rows, models, dtype=torch.bool),
        "distortion": torch.zeros(rows, models),
        "kinds": torch.zeros(lines, dtype=torch.int8),
        "probabilities": torch.zeros(*lines, len(KINDS)),
        "counts": torch.zeros(clouds, dtype=torch.int16),
    }


def _asked(model: nn.Module, examples: Examples, job: ProbeJob, index: int) -> dict[str, Tensor]:
    """One model's columns."""
    clean, labels = ordinary(examples.clean), ordinary(examples.labels)
    reached = ordinary(examples.adversarial_predictions)
    counted = examples.success & (examples.predictions == labels) & (reached != labels)
    # Rows that do not count are asked as well, so that the others' noise is every model's.
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
