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
from lit_intriguing.splits.loop import chunk_loader
from lit_intriguing.splits.resumable_store import Chunk, Store
from lit_intriguing.splits.split import SplitData
from lit_intriguing.splits.stored_loop import StoredLoop


class AttackRun(StoredLoop):
    """Attacks each batch of the predict loop and stores the examples.

    Args:
        job: What is asked for.
        store: Where the examples go.
        data: What the loop runs over.
    """

    def __init__(self, job: AttackJob, store: Store, data: SplitData) -> None:
        super().__init__(store, data, "Attack")
        self.job = job
        self._room_checked = False

    @override
    def settings(self, module: LightningModule) -> Mapping[str, Any]:
        return self.job.settings(module, self.data.source)

    @override
    def check_begun(self) -> None:
        check_watched(self.store, self.job.watch)
        self._room_checked = False

    @override
    def make(
        self, trainer: Trainer, index: int, images: Tensor, labels: Tensor, source: str
    ) -> tuple[Chunk, str]:
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
        if watch is not None and self.writes(trainer):
            names = job.pictures.names(names_of_data(self.data.source))
            write_watch(self.store.folder, watch, chunk.columns, names, repr(job.attack))
        success = chunk.columns["success"][chunk.columns["attacked"]]
        return chunk, f"success {float(success.double().mean()):.1%}" if len(success) else ""

    @override
    def merge(self) -> None:
        merge(self.store, self.job, self.data.source)

    @override
    def again(self) -> None:
        redraw(self.store, self.job, self.data.source)

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
    job.check_images(columns["clean"][:1])
    drawn = draw(store.folder, columns, Summary.of(finished["summary"]), job, data)
    files = [name for name in finished["files"] if name != "examples.png"]
    store.finish(finished["sources"], [*files, *drawn], finished["summary"])
