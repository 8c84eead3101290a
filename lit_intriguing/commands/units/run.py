"""The scan inside Lightning's predict loop, chunk by chunk."""

import copy
import time
from collections.abc import MutableMapping
from pathlib import Path

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn
from typing_extensions import override

from lit_intriguing.commands.units.first_pass import components_in
from lit_intriguing.commands.units.job import UnitJob, begin_store
from lit_intriguing.commands.units.output import write
from lit_intriguing.commands.units.parts import Part, Parts
from lit_intriguing.commands.units.second_look import coherence_of, loader_of
from lit_intriguing.errors import UserError
from lit_intriguing.hosts.precision import in_precision
from lit_intriguing.splits.fingerprint import differences, fingerprint
from lit_intriguing.splits.loop import ChunkLoop, chunk_loader, on_rank_zero
from lit_intriguing.splits.resumable_store import Store
from lit_intriguing.splits.split import SplitData
from lit_intriguing.units.analyse import TRAINED, report
from lit_intriguing.units.components import beside
from lit_intriguing.units.features import features_of
from lit_intriguing.units.layers import matching_layers
from lit_intriguing.units.network_scan import Named, NetworkScan
from lit_intriguing.units.scan import RandomBases

_SECONDS = 20.0
"""Between two savings."""


class UnitRun(ChunkLoop):
    """Scans each chunk of the predict loop, and compares at the end.

    Args:
        job: What is asked for.
        store: Where the results go.
        data: What the loop runs over.
    """

    def __init__(self, job: UnitJob, store: Store, data: SplitData) -> None:
        super().__init__(data, task="Units")
        self.job, self.store = job, store
        self.parts = Parts(store.folder / "chunks")
        self._networks: dict[str, nn.Module] = {}
        self._components: dict[str, dict[str, Tensor]] = {}
        self._scans: dict[str, NetworkScan] = {}
        self._done: dict[int, str] = {}
        self._part, self._saved = Part(), 0.0

    @override
    def begin(self, trainer: Trainer, module: LightningModule) -> None:
        job = self.job
        begin_store(job, self.store, self.data, trainer, module)
        on_rank_zero(trainer, self._check_comparison)
        finished = self.store.finished is not None
        self._networks = {TRAINED: module} if finished else job.networks(module)
        self._components = components_in(self.store.folder) or {}
        self._scans = self._new_scans()
        self._done = self.parts.sources()
        self._part, self._saved = Part(), time.monotonic()

    def _check_comparison(self) -> None:
        """Refuse other features or rows than a finished comparison has: its scan is deleted."""
        finished = self.store.finished
        if finished is None:
            return
        now = self.job.comparison()
        # What earlier versions finished does not say.
        before = {name: finished["summary"].get(name, value) for name, value in now.items()}
        if before != now:
            raise UserError(
                f"{self.store.folder} holds a finished comparison of other settings "
                f"({'; '.join(differences(before, now))}): name another output, or delete the "
                "folder to begin again."
            )

    @override
    def work(self, trainer: Trainer, index: int, images: Tensor, labels: Tensor) -> None:
        source = fingerprint(images, labels)
        finished = self.store.finished
        done = self._done if finished is None else dict(enumerate(finished["sources"]))
        if index not in done and finished is None:
            self._scan(trainer, index, images, labels, source)
        elif done.get(index) != source:
            raise UserError(
                f"chunk {index} in {self.store.folder} was made from other images than the data "
                "now gives: name another output; if the data changes by itself, as random crops "
                "do, make it stop."
            )
        self.advance("")

    def _scan(
        self, trainer: Trainer, index: int, images: Tensor, labels: Tensor, source: str
    ) -> None:
        features = self.job.features
        if features is not None and not self._part.sources:  # what cannot work is said early
            features_of(features.to(images.device), [images[:2]])
        first = index * self.job.chunk
        indices = torch.arange(first, first + len(images))
        for network, model in self._networks.items():
            forward = in_precision(model, trainer.precision_plugin)
            self._scans[network].add(model, images, indices, forward)
        self._part = self._part_with(index, source, labels)
        if time.monotonic() - self._saved > _SECONDS:
            self._save(trainer)

    def _part_with(self, index: int, source: str, labels: Tensor) -> Part:
        """Return a new part with one more chunk, which every network has seen.

        It is a copy, which takes the place of the last one at once: what is interrupted in a chunk
        that some networks have seen saves the part without that chunk.
        """
        return Part(
            copy.deepcopy({name: scan.state_dict() for name, scan in self._scans.items()}),
            {**self._part.sources, index: source},
            {**self._part.labels, index: labels.cpu()},
        )

    def _save(self, trainer: Trainer) -> None:
        if self._part.sources and self.writes(trainer):
            self.parts.save(self._part)
            self._saved = time.monotonic()

    @override
    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save this process's part, then put the parts together."""
        self._save(trainer)
        super().on_predict_end(trainer, pl_module)

    @override
    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Save what is done."""
        if self.store.folder.is_dir() and self.store.finished is None:
            self._save(trainer)
        super().on_exception(trainer, pl_module, exception)

    @override
    def finish(self, trainer: Trainer, chunks: int) -> None:
        finished = self.store.finished
        if finished is not None:
            return
        parts = list(self.parts.load())
        sources = {index: source for part in parts for index, source in part.sources.items()}
        if sorted(sources) != list(range(chunks)):
            raise UserError(
                f"{len(sources)} of {chunks} chunks are done: repeat the command to go on, "
                "without fast_dev_run or limit_predict_batches."
            )
        scans = self._joined(parts)
        labels = {index: some for part in parts for index, some in part.labels.items()}
        loader = loader_of(chunk_loader(trainer))
        coherence = coherence_of(
            self.job.features, torch.cat([labels[index] for index in range(chunks)]), loader,
            scans.values(), trainer,
        )  # fmt: skip
        found = report(scans, coherence, self.job.scan.seed)
        files, summary = write(self.store.folder, found, loader, self.job)
        self.store.finish(
            [sources[index] for index in range(chunks)], files, summary | self.job.comparison()
        )

    def _joined(self, parts: list[Part]) -> dict[str, NetworkScan]:
        scans = self._new_scans()
        for part in parts:
            other = self._new_scans(scans[TRAINED].bases)
            for name, scan in other.items():
                scan.load_state_dict(part.scans[name])
                scans[name].merge(scan)
        return scans

    def _new_scans(
        self, bases: MutableMapping[str, RandomBases] | None = None
    ) -> dict[str, NetworkScan]:
        layers = matching_layers(self._networks[TRAINED], self.job.layers)
        shared: MutableMapping[str, RandomBases] = {} if bases is None else bases
        return {
            name: NetworkScan(layers, self.job.scan, shared, self._named(name))
            for name in self._networks
        }

    def _named(self, network: str) -> Named:
        own = self.job.directions
        return beside(own, self._components[network]) if network in self._components else own


def done_in(folder: Path) -> str:
    """Say how much of a scan is saved."""
    done = len(Parts(folder / "chunks").sources())
    what = "1 finished chunk is" if done == 1 else f"{done} finished chunks are"
    return f"{what} saved in {folder}: the same command goes on from there"
