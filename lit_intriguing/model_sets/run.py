"""Lightning's loop over several models at once: their examples and a result, chunk by chunk."""

import hashlib
import itertools
import json
import time
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn
from typing_extensions import override

from lit_intriguing.attacks.examples import Examples, joined
from lit_intriguing.errors import UserError
from lit_intriguing.hosts.precision import at_least_single, in_precision
from lit_intriguing.model_sets.examples import ExampleJob, made_for
from lit_intriguing.model_sets.predictions import ChunkInputs, ChunkResult
from lit_intriguing.splits.fingerprint import class_name, described, fingerprint, of_model
from lit_intriguing.splits.loop import ChunkLoop, on_rank_zero
from lit_intriguing.splits.resumable_store import MADE_AGAIN, Chunk, Store
from lit_intriguing.splits.split import SplitData
from lit_intriguing.whole_files import read_checked_json, write_checked_json

Job = TypeVar("Job", bound=ExampleJob)
Found = TypeVar("Found")


class Models(LightningModule):
    """All models of a study, so that Lightning brings them to the device.

    Args:
        models: Name to model.
    """

    def __init__(self, models: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.names = list(models)
        self.members = nn.ModuleList(models.values())

    def forward(self, x: Tensor) -> Tensor:
        """Refuse: a study calls the members."""
        raise NotImplementedError

    def by_name(self) -> dict[str, nn.Module]:
        """Return name to model."""
        return dict(zip(self.names, self.members, strict=True))


@dataclass(frozen=True)
class StudyPass(Generic[Job]):
    """One pass of a study's models over data.

    Attributes:
        folder: Where examples and results are stored.
        job: What is asked for.
        data: What the loop runs over.
        names: All models of the study, those included that could not be loaded.
        failures: Why these could not.
    """

    folder: Path
    job: Job
    data: SplitData
    names: list[str]
    failures: Mapping[str, str]


class ExamplesRun(ChunkLoop, Generic[Job, Found]):
    """Makes the examples of each chunk for each model, measures them, and stores both.

    They lie in `examples/<model and attack>` and `<FOLDER>/<all settings>` of the pass's folder.

    Args:
        study_pass: What is asked for, and the data.
        task: Name of the work, for the bar.
        adversarial: Whether a result needs examples.

    Attributes:
        found: What the study finds, on rank 0 after the loop.
    """

    FOLDER: ClassVar[str]
    """Name of the folder of results, which earlier versions have written as well."""

    def __init__(self, study_pass: StudyPass[Job], task: str, adversarial: bool = True) -> None:
        self.folder, self.job, self.names = study_pass.folder, study_pass.job, study_pass.names
        self.adversarial = adversarial
        self.found: Found | None = None
        self._not_loaded = dict(study_pass.failures)
        usable = len(self.names) - len(self._not_loaded)
        super().__init__(study_pass.data, task, steps=1 + usable * adversarial, unit="step")
        self._examples: dict[str, Store] = {}
        self._results = _Results(Store(self.folder))

    @abstractmethod
    def evaluate(self, inputs: ChunkInputs) -> ChunkResult:
        """Measure the models on a chunk."""

    @abstractmethod
    def conclude(self, columns: dict[str, Tensor], failures: dict[str, str]) -> Found:
        """Return what the study finds, from the results of all chunks.

        Args:
            columns: Of all images.
            failures: What went wrong, by the model's name.
        """

    def stored_examples(self, index: int) -> dict[str, Examples]:
        """Return a chunk's examples, by the model's name, of those that have any."""
        return {
            name: Examples.of(store.load(index).columns)
            for name, store in self._examples.items()
            if index in store.indices()
        }

    @override
    def begin(self, trainer: Trainer, module: LightningModule) -> None:
        assert isinstance(module, Models)
        ours, models, whole = self._open_stores(trainer, module)
        on_rank_zero(trainer, lambda: self._write_down(ours, models, whole))

    def read_back(self, trainer: Trainer, module: Models) -> None:
        """Conclude from what other processes have stored, where the work was done in those alone.

        `ddp_fork`, as notebooks use it, and `ddp_spawn` leave the process that starts them without
        what they found.
        """
        # The others have named the folders by the weights in the Trainer's precision.
        trainer.precision_plugin.convert_module(module)
        self._open_stores(trainer, module)
        done = len(self._results.store.indices())
        if not done:
            raise UserError(
                f"{self._results.store.folder} holds no results of the processes that "
                f"{type(trainer.strategy).__name__} started: repeat the study with the strategy "
                "ddp, or on one device."
            )
        self._conclude(done)

    def _open_stores(
        self, trainer: Trainer, module: Models
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        """Name the folders; return the settings of examples, of each model, and of the results."""
        common = {
            "data": class_name(self.data.source),
            "split": self.data.split,
            "precision": trainer.precision,
        }
        models = {name: of_model(model) for name, model in module.by_name().items()}
        _check_told_apart(module.by_name(), models)
        ours = common | self.job.examples_settings()
        self._examples = {
            name: Store(self.folder / "examples" / _key(ours | {"model": model}))
            for name, model in models.items()
        }
        whole = common | self.job.settings() | {"models": models, "names": self.names}
        whole["limit"] = self.data.limit
        self._results = _Results(Store(self.folder / self.FOLDER / _key(whole)))
        return ours, models, whole

    @override
    def work(self, trainer: Trainer, index: int, images: Tensor, labels: Tensor) -> None:
        source = fingerprint(images, labels)
        if self._results.done(index, source):
            for _ in range(self.steps):
                self.advance("from before")
            return
        start = time.perf_counter()
        module = trainer.lightning_module
        assert isinstance(module, Models)
        models = {
            name: in_precision(model, trainer.precision_plugin)
            for name, model in module.by_name().items()
        }
        images = at_least_single(images)

        def make(name: str, model: nn.Module) -> Examples:
            made = self._made(trainer, name, model, index, images, labels, source)
            self.advance(name)
            return made

        found = self.evaluate(ChunkInputs(models, self.names, images, labels, index, make))
        if self.writes(trainer):
            self._results.save(index, found, source, time.perf_counter() - start)
        self.advance("predictions")

    @override
    def finish(self, trainer: Trainer, chunks: int) -> None:
        there = self._results.store.indices()
        if not set(range(chunks)) <= set(there):
            raise UserError(
                f"{len(there)} of {chunks} chunks are done: repeat the command to go on, without "
                "fast_dev_run or limit_predict_batches."
            )
        self._conclude(chunks)

    def _conclude(self, chunks: int) -> None:
        parts = [self._results.load(index) for index in range(chunks)]
        columns = joined(
            (part.columns for part in parts), sum(len(part.columns["labels"]) for part in parts)
        )
        failures = dict(self._not_loaded)
        for part in parts:
            failures |= part.failures
        self.found = self.conclude(columns, failures)

    def _made(
        self,
        trainer: Trainer,
        name: str,
        model: nn.Module,
        index: int,
        images: Tensor,
        labels: Tensor,
        source: str,
    ) -> Examples:
        """Return a model's examples of a chunk, made unless they are stored."""
        store = self._examples[name]
        if store.source(index) == source:
            columns = store.load(index).columns
            return Examples.of({key: value.to(images.device) for key, value in columns.items()})
        start = time.perf_counter()
        made = made_for(model, images, labels, self.job, index)
        if self.writes(trainer):
            store.save(index, Chunk(made.columns(), source, time.perf_counter() - start))
        return made

    def _write_down(
        self, ours: dict[str, Any], models: Mapping[str, Any], whole: dict[str, Any]
    ) -> None:
        if self.adversarial:
            for name, store in self._examples.items():
                store.begin(ours | {"model": models[name]})
        self._results.store.begin(whole)


def _check_told_apart(
    models: Mapping[str, nn.Module], described_models: Mapping[str, object]
) -> None:
    """Refuse models that differ, but not by what their examples are stored under.

    Raises:
        UserError: One of them would get the other's examples.
    """
    for one, other in itertools.combinations(models, 2):
        same = described_models[one] == described_models[other]
        if same and described(models[one], whole=True) != described(models[other], whole=True):
            raise UserError(
                f"the models {one!r} and {other!r} cannot be told apart, and one would get the "
                "other's adversarial examples: show what they differ in, as a buffer "
                "(register_buffer) or in extra_repr of a torch module each, or leave one out."
            )


@dataclass(frozen=True)
class _Results:
    """Chunks with their results; one in which a model failed is stored, and done again."""

    store: Store

    def done(self, index: int, source: str) -> bool:
        return not self._failures(index).is_file() and self.store.source(index) == source

    def save(self, index: int, found: ChunkResult, source: str, seconds: float) -> None:
        failures = self._failures(index)
        if found.failures:
            failures.parent.mkdir(exist_ok=True)
            write_checked_json(failures, found.failures)
        self.store.save(index, Chunk(found.columns, source, seconds))
        if not found.failures:
            failures.unlink(missing_ok=True)

    def load(self, index: int) -> ChunkResult:
        path = self._failures(index)
        failures = read_checked_json(path, MADE_AGAIN)
        return ChunkResult(self.store.load(index).columns, failures)

    def _failures(self, index: int) -> Path:
        return self.store.folder / "failures" / f"{index:06d}.json"


def _key(settings: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:20]
