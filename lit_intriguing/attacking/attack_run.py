"""The attack inside Lightning's predict loop, chunk by chunk."""

import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.strategies import DeepSpeedStrategy, FSDPStrategy
from torch import Tensor
from typing_extensions import override

from lit_intriguing.attacking.attack_rows import attack_rows
from lit_intriguing.attacking.chunks import ChunkLoader, images_and_labels
from lit_intriguing.attacking.examples import joined
from lit_intriguing.attacking.files import write
from lit_intriguing.attacking.job import AttackJob
from lit_intriguing.attacking.precision import in_precision
from lit_intriguing.attacking.progress import ChunkProgress
from lit_intriguing.attacking.randomness import chunk_randomness
from lit_intriguing.attacking.settings import fingerprint
from lit_intriguing.attacking.split_data import SplitData, works_in_step
from lit_intriguing.attacking.store import Chunk, Store
from lit_intriguing.attacking.summary import summarise
from lit_intriguing.errors import UserError


class AttackRun(Callback):
    """Attacks each batch of the predict loop and keeps the examples.

    Args:
        job: What is asked for.
        store: Where the examples go.
        data: What the loop runs over.
    """

    def __init__(self, job: AttackJob, store: Store, data: SplitData) -> None:
        self.job, self.store, self.data = job, store, data
        self._progress: ChunkProgress | None = None
        self._position = 0
        self._room_checked = False

    @override
    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Checks the folder, and puts the attack in the place of the module's own step."""
        if isinstance(trainer.strategy, FSDPStrategy | DeepSpeedStrategy):
            raise UserError(
                f"no attack under {type(trainer.strategy).__name__}, which takes the model apart: "
                "use ddp, or ModelParallelStrategy for a model that is too large for one device."
            )
        settings = self.job.settings(pl_module, self.data.source) | {"precision": trainer.precision}
        _on_rank_zero(trainer, lambda: self.store.begin(settings))
        loader = _chunk_loader(trainer)
        self._position, self._room_checked = 0, False
        self._progress = ChunkProgress(trainer, loader.own_chunks)
        # As training steps are replaced elsewhere: Lightning looks the method up at each batch.
        trainer.strategy.predict_step = self._step  # type: ignore[method-assign]

    @override
    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Merges what all processes have made."""
        trainer.strategy.barrier("attack")
        _on_rank_zero(trainer, lambda: self._finish(_chunk_loader(trainer).chunks))

    @override
    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Gives the strategy its own step back."""
        self._leave(trainer)

    @override
    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Gives the strategy its own step back."""
        self._leave(trainer)

    def _leave(self, trainer: Trainer) -> None:
        vars(trainer.strategy).pop("predict_step", None)
        if self._progress is not None:
            self._progress.close()
        self._progress = None

    def _step(self, batch: Any, *args: Any) -> int:
        """Attacks a chunk, unless it is done; returns its number."""
        trainer = self.data.trainer
        assert trainer is not None
        index = _chunk_loader(trainer).index(self._position)
        self._position += 1
        images, labels = images_and_labels(batch)
        source = fingerprint(images, labels)
        done = self.store.source(index)
        status = "from before"
        if done is None:
            chunk = self._attack(trainer, index, images, labels, source)
            success = chunk.columns["success"][chunk.columns["attacked"]]
            status = f"success {float(success.double().mean()):.1%}" if len(success) else ""
        elif done != source:
            raise UserError(
                f"chunk {index} in {self.store.folder} was made from other rows than the data now "
                "gives: name another output; if the data changes by itself, as random crops do, "
                "make it stop."
            )
        assert self._progress is not None
        self._progress.advance(status)
        return index

    def _attack(
        self, trainer: Trainer, index: int, images: Tensor, labels: Tensor, source: str
    ) -> Chunk:
        job, start = self.job, time.perf_counter()
        model = in_precision(trainer.lightning_module, trainer.precision_plugin)
        images = images.float() if images.dtype in (torch.float16, torch.bfloat16) else images
        try:
            with chunk_randomness(job.seed, index) as generator:
                made = attack_rows(
                    model, job.attack, images, labels, generator,
                    goal=job.goal, bounds=job.bounds, layer=job.layer,
                    only_correct=job.only_correct,
                )  # fmt: skip
        except ValueError as error:
            raise UserError(str(error)) from error
        chunk = Chunk(made.columns(), source, time.perf_counter() - start)
        if trainer.is_global_zero:
            self._check_room(trainer, chunk)
        if trainer.is_global_zero or not works_in_step(trainer.strategy):
            self.store.save(index, chunk)
        return chunk

    def _check_room(self, trainer: Trainer, chunk: Chunk) -> None:
        """Once, refuses to go on where the disk will not take all chunks and the merged file."""
        chunks = _chunk_loader(trainer).chunks
        if self._room_checked or chunks is None:
            return
        self._room_checked = True
        size = sum(column.nbytes for column in chunk.columns.values())
        need = size * (2 * chunks - len(self.store.indices()))
        free = shutil.disk_usage(self.store.folder).free
        if need > free:
            raise UserError(
                f"the examples need {need / 1e9:.1f} GB while they are merged, and "
                f"{free / 1e9:.1f} GB are free at {self.store.folder}: set limit, or another "
                "output."
            )

    def _finish(self, chunks: int | None) -> None:
        if self.store.finished is not None:
            return
        there = self.store.indices()
        total = len(there) if chunks is None else chunks
        if there != list(range(total)):
            raise UserError(
                f"{len(there)} of {total} chunks are done: repeat the command to go on, without "
                "fast_dev_run or limit_predict_batches."
            )
        merge(self.store, self.job)


def merge(store: Store, job: AttackJob) -> None:
    """Makes the final files of the chunks, holding the result and one chunk in memory."""
    parts = [replace(chunk, columns={}) for chunk in store.chunks()]
    rows = sum(len(chunk.columns["labels"]) for chunk in store.chunks())
    columns = joined((chunk.columns for chunk in store.chunks()), rows)
    summary = summarise(columns, sum(part.seconds for part in parts))
    files = write(
        store.folder, columns, summary,
        kind=job.format, layer=job.layer, bounds=job.bounds, seed=job.seed,
    )  # fmt: skip
    store.finish([part.source for part in parts], files, summary)


def _chunk_loader(trainer: Trainer) -> ChunkLoader:
    loader = trainer.predict_dataloaders
    assert isinstance(loader, ChunkLoader)
    return loader


def _on_rank_zero(trainer: Trainer, action: Callable[[], None]) -> None:
    """Does something on rank 0; where it cannot be done, every process ends."""
    error: UserError | None = None
    if trainer.is_global_zero:
        try:
            action()
        except UserError as failure:
            error = failure
    failed = trainer.strategy.broadcast(error is not None)
    if error is not None:
        raise error
    if failed:
        raise SystemExit(UserError.status)
