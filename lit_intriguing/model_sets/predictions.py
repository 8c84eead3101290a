"""Predictions of several models on rows of tensors, and examples made for each."""

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


UNKNOWN = -1
"""In place of an answer that there is none of."""


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


def chunk_generator(job: ExampleJob, index: int) -> torch.Generator:
    """A chunk's random numbers, on the CPU: the same ones, whatever else is asked for."""
    with chunk_randomness(job.seed, index) as generator:
        return generator


class Court:
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
