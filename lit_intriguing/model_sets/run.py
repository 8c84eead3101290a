"""What studies of several models share: a chunk's examples for each of them, kept, and a result."""

import hashlib
import json
import time
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn
from typing_extensions import override

from lit_intriguing.attacks.examples import Examples, joined
from lit_intriguing.commands.attack.run import at_least_single
from lit_intriguing.errors import UserError
from lit_intriguing.hosts.precision import in_precision
from lit_intriguing.model_sets.job import ExampleJob
from lit_intriguing.model_sets.predictions import Judged, Maker, made_for
from lit_intriguing.splits.fingerprint import class_name, fingerprint, of_model
from lit_intriguing.splits.loop import ChunkLoop, on_rank_zero
from lit_intriguing.splits.resumable_store import Chunk, Store
from lit_intriguing.splits.split import SplitData


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
        """Nothing: a study calls the members."""
        raise NotImplementedError

    def by_name(self) -> dict[str, nn.Module]:
        """Name to model."""
        return dict(zip(self.names, self.members, strict=True))


class ExamplesRun(ChunkLoop):
    """Makes the examples of each chunk for each model, and of these a result; both are kept.

    Args:
        folder: Keeps `examples/<model and attack>` and `<kind>/<all settings>`.
        job: What is asked for.
        data: What the loop runs over.
        names: All models of the table, those included that could not be loaded.
        failures: Why these could not.
        task: Name of the work, for the bar.
        kind: Of the results; a folder.
        adversarial: Whether a result needs examples.
    """

    def __init__(
        self,
        folder: Path,
        job: ExampleJob,
        data: SplitData,
        names: Sequence[str],
        failures: Mapping[str, str],
        task: str,
        kind: str,
        adversarial: bool = True,
    ) -> None:
        self.folder, self.job, self.names = folder, job, list(names)
        self.kind, self.adversarial = kind, adversarial
        self.lost = dict(failures)
        usable = len(self.names) - len(self.lost)
        super().__init__(data, task, steps=1 + usable * adversarial, unit="step")
        self._examples: dict[str, Store] = {}
        self._results = _Results(Store(folder))

    @abstractmethod
    def result(
        self,
        models: Mapping[str, nn.Module],
        images: Tensor,
        labels: Tensor,
        index: int,
        make: Maker,
    ) -> Judged:
        """Works on a chunk.

        Args:
            models: Those that could be loaded, by name.
            images: `(n, *S)`.
            labels: `(n,)`.
            index: The chunk's number.
            make: Makes a model's examples, or has them.
        """

    @abstractmethod
    def conclude(self, columns: dict[str, Tensor], failures: dict[str, str]) -> None:
        """Puts the results of all chunks together.

        Args:
            columns: Of all rows.
            failures: What went wrong, by the model's name.
        """

    def kept_examples(self, index: int) -> dict[str, Examples]:
        """A chunk's examples, by the model's name, of those that have any."""
        return {
            name: Examples.of(store.load(index).columns)
            for name, store in self._examples.items()
            if index in store.indices()
        }

    @override
    def begin(self, trainer: Trainer, module: LightningModule) -> None:
        assert isinstance(module, Models)
        common = {
            "data": class_name(self.data.source),
            "split": self.data.split,
            "precision": trainer.precision,
        }
        models = {name: of_model(model) for name, model in module.by_name().items()}
        ours = common | self.job.examples_settings()
        self._examples = {
            name: Store(self.folder / "examples" / _key(ours | {"model": model}))
            for name, model in models.items()
        }
        whole = common | self.job.settings() | {"models": models, "names": self.names}
        whole["limit"] = self.data.limit
        self._results = _Results(Store(self.folder / self.kind / _key(whole)))
        on_rank_zero(trainer, lambda: self._write_down(ours, models, whole))

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

        found = self.result(models, images, labels, index, make)
        if self.writes(trainer):
            self._results.save(index, found, source, time.perf_counter() - start)
        self.advance(self.kind)

    @override
    def finish(self, trainer: Trainer, chunks: int) -> None:
        there = self._results.store.indices()
        if not set(range(chunks)) <= set(there):
            raise UserError(
                f"{len(there)} of {chunks} chunks are done: repeat the command to go on, without "
                "fast_dev_run or limit_predict_batches."
            )
        parts = [self._results.load(index) for index in range(chunks)]
        columns = joined(
            (part.columns for part in parts), sum(len(part.columns["labels"]) for part in parts)
        )
        failures = dict(self.lost)
        for part in parts:
            failures |= part.failures
        self.conclude(columns, failures)

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
        """A model's examples of a chunk, made unless they are there."""
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


@dataclass(frozen=True)
class _Results:
    """Chunks with their results; one in which a model failed is kept, and done again."""

    store: Store

    def done(self, index: int, source: str) -> bool:
        return not self._failures(index).is_file() and self.store.source(index) == source

    def save(self, index: int, found: Judged, source: str, seconds: float) -> None:
        failures = self._failures(index)
        if found.failures:
            failures.parent.mkdir(exist_ok=True)
            failures.write_text(json.dumps(dict(found.failures)), encoding="utf-8")
        self.store.save(index, Chunk(found.columns, source, seconds))
        if not found.failures:
            failures.unlink(missing_ok=True)

    def load(self, index: int) -> Judged:
        path = self._failures(index)
        failures = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        return Judged(self.store.load(index).columns, failures)

    def _failures(self, index: int) -> Path:
        return self.store.folder / "failures" / f"{index:06d}.json"


def _key(settings: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:20]
