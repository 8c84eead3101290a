"""A transfer study's passes over data, inside Lightning's predict loop, chunk by chunk."""

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn
from typing_extensions import override

from lit_intriguing.attacking.attack_run import at_least_single
from lit_intriguing.attacking.chunk_loop import ChunkLoop, on_rank_zero
from lit_intriguing.attacking.examples import Examples, joined
from lit_intriguing.attacking.precision import in_precision
from lit_intriguing.attacking.settings import class_name, fingerprint, of_model
from lit_intriguing.attacking.split_data import SplitData
from lit_intriguing.attacking.store import Chunk, Store
from lit_intriguing.errors import UserError
from lit_intriguing.studies.transfer.job import TransferJob
from lit_intriguing.studies.transfer.rows import Judged, judge, made_for
from lit_intriguing.studies.transfer.table import Table, tabulate


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


class TransferRun(ChunkLoop):
    """Makes the examples of each chunk for each model, and shows all sets to all models.

    Args:
        folder: Keeps `examples/<model and attack>` and `judged/<all settings>`.
        job: What is asked for.
        data: What the loop runs over.
        names: All models of the table, those included that could not be loaded.
        failures: Why these could not.
        task: Name of the work, for the bar.
    """

    def __init__(
        self,
        folder: Path,
        job: TransferJob,
        data: SplitData,
        names: Sequence[str],
        failures: Mapping[str, str],
        task: str,
    ) -> None:
        self.folder, self.job, self.names = folder, job, list(names)
        self.lost = dict(failures)
        usable = len(self.names) - len(self.lost)
        super().__init__(data, task, steps=1 + usable * job.adversarial, unit="step")
        self.table: Table | None = None
        self._examples: dict[str, Store] = {}
        self._judged = _JudgedStore(Store(folder))

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
        self._judged = _JudgedStore(Store(self.folder / "judged" / _key(whole)))
        on_rank_zero(trainer, lambda: self._write_down(ours, models, whole))

    @override
    def work(self, trainer: Trainer, index: int, images: Tensor, labels: Tensor) -> None:
        source = fingerprint(images, labels)
        if self._judged.done(index, source):
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

        judged = judge(models, self.names, images, labels, self.job, index, make)
        if self.writes(trainer):
            self._judged.save(index, judged, source, time.perf_counter() - start)
        self.advance("judged")

    @override
    def finish(self, trainer: Trainer, chunks: int) -> None:
        there = self._judged.store.indices()
        if not set(range(chunks)) <= set(there):
            raise UserError(
                f"{len(there)} of {chunks} chunks are done: repeat the command to go on, without "
                "fast_dev_run or limit_predict_batches."
            )
        parts = [self._judged.load(index) for index in range(chunks)]
        columns = joined(
            (part.columns for part in parts), sum(len(part.columns["labels"]) for part in parts)
        )
        failures = dict(self.lost)
        for part in parts:
            failures |= part.failures
        self.table = tabulate(columns, self.job.sets(self.names), self.names, failures)

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
        if self.job.adversarial:
            for name, store in self._examples.items():
                store.begin(ours | {"model": models[name]})
        self._judged.store.begin(whole)


@dataclass(frozen=True)
class _JudgedStore:
    """Judged chunks; one in which a model failed is kept, and done again the next time."""

    store: Store

    def done(self, index: int, source: str) -> bool:
        return not self._failures(index).is_file() and self.store.source(index) == source

    def save(self, index: int, judged: Judged, source: str, seconds: float) -> None:
        failures = self._failures(index)
        if judged.failures:
            failures.parent.mkdir(exist_ok=True)
            failures.write_text(json.dumps(dict(judged.failures)), encoding="utf-8")
        self.store.save(index, Chunk(judged.columns, source, seconds))
        if not judged.failures:
            failures.unlink(missing_ok=True)

    def load(self, index: int) -> Judged:
        path = self._failures(index)
        failures = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        return Judged(self.store.load(index).columns, failures)

    def _failures(self, index: int) -> Path:
        return self.store.folder / "failures" / f"{index:06d}.json"


def _key(settings: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:20]
