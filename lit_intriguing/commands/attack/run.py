"""How it runs: the attack inside Lightning's predict loop, chunk by chunk."""

import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from torch import Tensor
from typing_extensions import override

from lit_intriguing.attacks.attack_tensors import attack_chunk
from lit_intriguing.attacks.examples import joined
from lit_intriguing.commands.attack.job import AttackJob
from lit_intriguing.commands.attack.output import draw, read_examples, write
from lit_intriguing.commands.attack.summary import Summary, summarise
from lit_intriguing.commands.attack.watching import (
    check_watched,
    watch_files,
    watch_for,
    write_watch,
)
from lit_intriguing.data.class_names import names_of_data
from lit_intriguing.errors import UserError
from lit_intriguing.hosts.precision import at_least_single, in_precision
from lit_intriguing.isolation import chunk_randomness
from lit_intriguing.splits.fingerprint import fingerprint
from lit_intriguing.splits.loop import ChunkLoop, chunk_loader, on_rank_zero
from lit_intriguing.splits.resumable_store import Chunk, Store
from lit_intriguing.splits.split import SplitData


class AttackRun(ChunkLoop):
    """Attacks each batch of the predict loop and stores the examples.

    Args:
        job: What is asked for.
        store: Where the examples go.
        data: What the loop runs over.
    """

    def __init__(self, job: AttackJob, store: Store, data: SplitData) -> None:
        super().__init__(data)
        self.job, self.store = job, store
        self._room_checked = False

    @override
    def begin(self, trainer: Trainer, module: LightningModule) -> None:
        settings = self.job.settings(module, self.data.source) | {"precision": trainer.precision}
        on_rank_zero(trainer, lambda: self._begin_store(settings))
        self._room_checked = False

    def _begin_store(self, settings: Mapping[str, Any]) -> None:
        self.store.begin(settings)
        check_watched(self.store, self.job.watch)

    @override
    def work(self, trainer: Trainer, index: int, images: Tensor, labels: Tensor) -> None:
        source = fingerprint(images, labels)
        done = self.store.source(index)
        status = "from before"
        if done is None and self.store.finished is None:
            chunk = self._attack(trainer, index, images, labels, source)
            success = chunk.columns["success"][chunk.columns["attacked"]]
            status = f"success {float(success.double().mean()):.1%}" if len(success) else ""
        elif done != source:
            raise UserError(self._other_images(f"chunk {index}"))
        self.advance(status)

    def _other_images(self, what: str) -> str:
        return (
            f"{what} in {self.store.folder} was made from other images than the data gives now: "
            "name another output; if the data changes by itself, as random crops do, make it stop."
        )

    @override
    def finish(self, trainer: Trainer, chunks: int) -> None:
        if (finished := self.store.finished) is not None:
            if len(finished["sources"]) != chunks:
                raise UserError(
                    self._other_images(f"the result of {len(finished['sources'])} chunks")
                )
            redraw(self.store, self.job, self.data.source)
            return
        there = self.store.indices()
        if there != list(range(chunks)):
            raise UserError(
                f"{len(there)} of {chunks} chunks are done: repeat the command to go on, without "
                "fast_dev_run or limit_predict_batches."
            )
        merge(self.store, self.job, self.data.source)

    def _attack(
        self, trainer: Trainer, index: int, images: Tensor, labels: Tensor, source: str
    ) -> Chunk:
        job, start, watch = self.job, time.perf_counter(), watch_for(self.job.watch, index)
        job.check_images(images)
        model = in_precision(trainer.lightning_module, trainer.precision_plugin)
        try:
            with chunk_randomness(job.seed, index) as generator:
                made = attack_chunk(
                    model, job.attack, at_least_single(images), labels, generator,
                    goal=job.goal, bounds=job.bounds, layer=job.layer,
                    only_correct=job.only_correct, watch=watch,
                )  # fmt: skip
        except ValueError as error:
            raise UserError(str(error)) from error
        chunk = Chunk(made.columns(), source, time.perf_counter() - start)
        if trainer.is_global_zero:
            self._check_room(trainer, chunk)
        if self.writes(trainer):
            self.store.save(index, chunk)
            if watch is not None:
                names = job.pictures.names(names_of_data(self.data.source))
                write_watch(self.store.folder, watch, chunk.columns, names, repr(job.attack))
        return chunk

    def _check_room(self, trainer: Trainer, chunk: Chunk) -> None:
        """Refuse, once, to go on where the disk will not take all chunks and the merged file."""
        chunks = chunk_loader(trainer).chunks
        if self._room_checked or chunks is None:
            return
        self._room_checked = True
        size = sum(column.nbytes for column in chunk.columns.values())
        need = size * (2 * chunks - len(self.store.indices()))
        free = shutil.disk_usage(self.store.folder).free
        if need > free:
            raise UserError(
                f"the examples need {need / 1e6:,.1f} MB while they are merged, and "
                f"{free / 1e6:,.1f} MB are free at {self.store.folder}: set limit, or another "
                "output."
            )


def merge(store: Store, job: AttackJob, data: object) -> None:
    """Make the final files of the chunks, holding the result and one chunk in memory."""
    parts = [replace(chunk, columns={}) for chunk in store.chunks()]
    images = sum(len(chunk.columns["labels"]) for chunk in store.chunks())
    columns = joined((chunk.columns for chunk in store.chunks()), images)
    summary = summarise(columns, sum(part.seconds for part in parts))
    files = write(store.folder, columns, summary, job, data) + watch_files(store.folder)
    store.finish([part.source for part in parts], files, asdict(summary))


def redraw(store: Store, job: AttackJob, data: object) -> None:
    """Draw the examples of a finished attack: the pictures asked for may be others than before."""
    finished = store.finished
    assert finished is not None
    columns = read_examples(store.folder, job.format)
    drawn = draw(store.folder, columns, Summary.of(finished["summary"]), job, data)
    files = [name for name in finished["files"] if name != "examples.png"]
    store.finish(finished["sources"], [*files, *drawn], finished["summary"])
