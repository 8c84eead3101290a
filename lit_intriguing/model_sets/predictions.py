"""What several models predict, chunk by chunk; a model that fails does not stop the others."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import torch
from torch import Tensor, nn
from tqdm import tqdm

from lit_intriguing.attacks.examples import Examples, joined
from lit_intriguing.autograd import grad_island, preserved
from lit_intriguing.configuration.parse_errors import one_line
from lit_intriguing.errors import UserError
from lit_intriguing.isolation import chunk_randomness
from lit_intriguing.model_sets.examples import ExampleJob, Maker, made_for
from lit_intriguing.model_sets.sources import Function
from lit_intriguing.splice import INPUT, tail

J = TypeVar("J", bound=ExampleJob)


@dataclass(frozen=True)
class ChunkInputs:
    """What is measured: several models, on a chunk of n images.

    Attributes:
        models: Those that could be loaded, by name.
        names: All models of the study.
        images: `(n, *S)`.
        labels: `(n,)`.
        index: The chunk's number.
        make: Makes a model's examples, or has them.
    """

    models: Mapping[str, nn.Module]
    names: list[str]
    images: Tensor
    labels: Tensor
    index: int
    make: Maker


@dataclass(frozen=True)
class ChunkResult:
    """What was measured on a chunk of n images.

    Attributes:
        columns: Tensors of n rows, `labels` among them.
        failures: What went wrong, by the model's name.
    """

    columns: Mapping[str, Tensor]
    failures: Mapping[str, str] = field(default_factory=dict)


Evaluation = Callable[[ChunkInputs, J], ChunkResult]
"""Measures models on a chunk, as a job asks for it."""


def chunk_by_chunk(
    models: Mapping[str, nn.Module | Callable[[Tensor], Tensor]],
    images: Tensor,
    labels: Tensor,
    job: J,
    evaluate: Evaluation[J],
    task: str,
    progress: bool,
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Make each chunk's examples and measure the models, without files or a Trainer.

    Args:
        models: Name to what maps images to logits `(N, C)`.
        images: `(N, *S)`, N at least 1.
        labels: `(N,)`.
        job: How the examples are made, and what is measured.
        evaluate: Measures a chunk.
        task: Name of the work, for the bar.
        progress: Show the bar on standard error.

    Returns:
        Columns of N rows, and what went wrong, by the model's name.

    Raises:
        ValueError: There are no images.
        UsageError: A number of the job is out of range.
    """
    job.check()
    if len(images) == 0:
        raise ValueError("there are no images: give at least one.")
    modules = {
        name: model if isinstance(model, nn.Module) else Function(model)
        for name, model in models.items()
    }
    failures: dict[str, str] = {}
    parts = []
    starts = range(0, len(images), job.chunk)
    for index, start in enumerate(tqdm(starts, task, disable=not progress, unit="chunk")):
        part = slice(start, start + job.chunk)

        def make(name: str, model: nn.Module, part: slice = part, index: int = index) -> Examples:
            return made_for(model, images[part], labels[part], job, index)

        inputs = ChunkInputs(modules, list(modules), images[part], labels[part], index, make)
        found = evaluate(inputs, job)
        parts.append(found.columns)
        failures |= found.failures
    return joined(parts, len(images)), failures


def chunk_generator(job: ExampleJob, index: int) -> torch.Generator:
    """Return a chunk's random numbers, on the CPU: the same ones, whatever else is asked for."""
    with chunk_randomness(job.seed, index) as generator:
        return generator


class WorkingModels:
    """The models that still work; one that fails is dropped, with the reason.

    Args:
        models: Name to model; changed in place.

    Attributes:
        models: Those that have not failed.
        failures: What went wrong, by the model's name.
    """

    def __init__(self, models: dict[str, nn.Module]) -> None:
        self.models = models
        self.failures: dict[str, str] = {}

    def clean_predictions(self, images: Tensor) -> dict[str, Tensor]:
        """Return each model's predictions `(n,)`; one with other classes than the first fails."""
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

    def predictions(self, name: str, images: Tensor) -> Tensor | None:
        """Return a model's predictions `(n,)`; None if it fails."""
        logits = self._logits(name, images)
        return None if logits is None else logits.argmax(1)

    def examples(self, name: str, make: Maker) -> Examples | None:
        """Return a model's examples; None if it cannot be attacked, while it still predicts."""
        try:
            return make(name, self.models[name])
        except Exception as error:
            self.failures[name] = f"no examples for it: {reason_of(error)}"
            return None

    def _logits(self, name: str, images: Tensor) -> Tensor | None:
        model = self.models[name]
        try:
            with preserved(model), grad_island(), torch.no_grad():
                logits = tail(model, INPUT, images)(images)
        except Exception as error:
            shape = tuple(images.shape[1:])
            self._fail(name, f"it does not take images of shape {shape}: {reason_of(error)}")
            return None
        if not bool(logits.isfinite().all()):
            self._fail(name, "its logits are not finite.")
            return None
        return logits

    def _fail(self, name: str, reason: str) -> None:
        self.failures[name] = reason
        del self.models[name]


def reason_of(error: Exception) -> str:
    """Return an error in one line, with its class unless its message explains itself."""
    text = one_line(str(error))[:400]
    return text if isinstance(error, UserError | ValueError) else f"{type(error).__name__}: {text}"
