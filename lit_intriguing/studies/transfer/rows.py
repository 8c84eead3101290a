"""The work itself: sets made of rows, each shown to every model; without files or a Trainer."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

import torch
from torch import Tensor, nn
from tqdm import tqdm

from lit_intriguing.attacking.attack_rows import attack_rows
from lit_intriguing.attacking.examples import Examples, joined
from lit_intriguing.attacking.randomness import chunk_randomness
from lit_intriguing.attacking.row_sets import (
    RowSet,
    adversarial_set,
    amplified_set,
    clean_set,
    noise_set,
)
from lit_intriguing.autograd import grad_island, ordinary, preserved
from lit_intriguing.command.parse_errors import one_line
from lit_intriguing.errors import UserError
from lit_intriguing.splice import INPUT, tail
from lit_intriguing.studies.transfer.job import CLEAN, ExampleJob, SetName, TransferJob
from lit_intriguing.studies.transfer.sources import Function
from lit_intriguing.studies.transfer.table import Table, tabulate
from lit_intriguing.types import Bounds

Maker = Callable[[str, nn.Module], Examples]
"""Gives the examples of the chunk's rows for the model of that name."""

J = TypeVar("J", bound=ExampleJob)

UNKNOWN = -1
"""In place of an answer that there is none of."""


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


def made_for(
    model: nn.Module, images: Tensor, labels: Tensor, job: ExampleJob, index: int
) -> Examples:
    """Examples for a model of a chunk's rows; targets are the same for all models.

    Args:
        model: The model.
        images: `(n, *S)`.
        labels: `(n,)`.
        job: What is asked for.
        index: The chunk's number, which seeds it.

    Raises:
        ValueError: See `attack_rows`.
        UserError: See `attack_rows`.
    """
    with chunk_randomness(job.seed, index) as generator:
        return attack_rows(
            model, job.attack, images, labels, generator,
            goal=job.goal, bounds=job.bounds, only_correct=job.only_correct,
        )  # fmt: skip


@dataclass(frozen=True)
class Judged:
    """A chunk's result.

    Attributes:
        columns: `labels` (n,); `answers` (n, S, M), -1 where there is none; `counted`, whether the
            row belongs to the set, and `there`, whether the set could be made, bool (n, S);
            `distortion` (n, S).
        failures: What went wrong, by the model's name.
    """

    columns: Mapping[str, Tensor]
    failures: Mapping[str, str] = field(default_factory=dict)


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


def chunk_by_chunk(
    models: Mapping[str, nn.Module | Callable[[Tensor], Tensor]],
    images: Tensor,
    labels: Tensor,
    job: J,
    ask: Callable[[Mapping[str, nn.Module], list[str], Tensor, Tensor, J, int, Maker], Judged],
    task: str,
    progress: bool,
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Makes each chunk's examples and asks the models about its rows.

    Args:
        models: Name to what maps images to logits `(N, C)`.
        images: `(N, *S)`.
        labels: `(N,)`.
        job: What is asked for.
        ask: `judge`, or another function of the same arguments.
        task: Name of the work, for the bar.
        progress: Show it on standard error.

    Returns:
        Columns of N rows, and what went wrong, by the model's name.
    """
    modules = {
        name: model if isinstance(model, nn.Module) else Function(model)
        for name, model in models.items()
    }
    failures: dict[str, str] = {}
    parts = []
    starts = range(0, len(images), job.chunk)
    for index, start in enumerate(tqdm(starts, task, disable=not progress, unit="chunk")):
        rows = slice(start, start + job.chunk)

        def make(name: str, model: nn.Module, rows: slice = rows, index: int = index) -> Examples:
            return made_for(model, images[rows], labels[rows], job, index)

        judged = ask(modules, list(modules), images[rows], labels[rows], job, index, make)
        parts.append(judged.columns)
        failures |= judged.failures
    return joined(parts, len(images)), failures


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


def chunk_generator(job: ExampleJob, index: int) -> torch.Generator:
    """A chunk's random numbers, on the CPU: the same ones, whatever else is asked for."""
    with chunk_randomness(job.seed, index) as generator:
        return generator


class _Court:
    """The models that still work; one that fails is put out with the reason."""

    def __init__(self, models: dict[str, nn.Module]) -> None:
        self.models = models
        self.failures: dict[str, str] = {}

    def clean_answers(self, images: Tensor) -> dict[str, Tensor]:
        """Each model's answers; one with other classes than the first is put out."""
        found: dict[str, Tensor] = {}
        first: tuple[str, int] | None = None
        for name in list(self.models):
            logits = self._logits(name, images)
            if logits is None:
                continue
            classes = logits.shape[1]
            first = first or (name, classes)
            if classes != first[1]:
                self._fail(name, f"it has {classes} classes, {first[0]!r} has {first[1]}.")
            else:
                found[name] = logits.argmax(1)
        return found

    def answers(self, name: str, images: Tensor) -> Tensor | None:
        """A model's answers (n,), or None."""
        logits = self._logits(name, images)
        return None if logits is None else logits.argmax(1)

    def examples(self, name: str, make: Maker) -> Examples | None:
        """A model's examples, or None; one that cannot be attacked can still be fooled."""
        try:
            return make(name, self.models[name])
        except Exception as error:
            self.failures[name] = f"no examples for it: {told(error)}"
            return None

    def _logits(self, name: str, images: Tensor) -> Tensor | None:
        model = self.models[name]
        try:
            with preserved(model), grad_island(), torch.no_grad():
                logits = tail(model, INPUT, images)(images)
        except Exception as error:
            shape = tuple(images.shape[1:])
            self._fail(name, f"it does not take rows of shape {shape}: {told(error)}")
            return None
        if not bool(logits.isfinite().all()):
            self._fail(name, "its logits are not finite.")
            return None
        return logits

    def _fail(self, name: str, reason: str) -> None:
        self.failures[name] = reason
        del self.models[name]


def told(error: Exception) -> str:
    """An error in one line, with its kind where it is not one of those that explain themselves."""
    text = one_line(str(error))[:400]
    return text if isinstance(error, UserError | ValueError) else f"{type(error).__name__}: {text}"


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
