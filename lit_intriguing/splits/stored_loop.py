"""A loop over chunks whose results are stored one by one, so that a stopped one goes on."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from torch import Tensor
from typing_extensions import override

from lit_intriguing.errors import UserError
from lit_intriguing.splits.fingerprint import fingerprint
from lit_intriguing.splits.loop import ChunkLoop, on_rank_zero, run_loop
from lit_intriguing.splits.resumable_store import Chunk, Store
from lit_intriguing.splits.split import SplitData


class StoredLoop(ChunkLoop, ABC):
    """Makes a chunk of results of each chunk of examples, unless it is stored already.

    Args:
        store: Where the results go.
        data: What the loop runs over.
        task: Name of the work, for the progress bar.
    """

    def __init__(self, store: Store, data: SplitData, task: str) -> None:
        super().__init__(data, task)
        self.store = store

    @abstractmethod
    def settings(self, module: LightningModule) -> Mapping[str, Any]:
        """Return what the results depend on, as plain values."""

    @abstractmethod
    def make(
        self, trainer: Trainer, index: int, images: Tensor, labels: Tensor, source: str
    ) -> tuple[Chunk, str]:
        """Make the results of a chunk.

        Args:
            trainer: The Trainer.
            index: The chunk's number among all.
            images: `(n, *S)`.
            labels: `(n,)`.
            source: Fingerprint of both.

        Returns:
            The results, which are then stored, and a text behind the progress bar.
        """

    @abstractmethod
    def merge(self) -> None:
        """Make the final files of all chunks, on rank 0."""

    def again(self) -> None:
        """Do what a finished result asked for again needs, on rank 0."""

    def check_begun(self) -> None:
        """Refuse what does not go with what is stored, on rank 0."""

    @override
    def begin(self, trainer: Trainer, module: LightningModule) -> None:
        settings = {**self.settings(module), "precision": trainer.precision}

        def open_store() -> None:
            self.store.begin(settings)
            self.check_begun()

        on_rank_zero(trainer, open_store)

    @override
    def work(self, trainer: Trainer, index: int, images: Tensor, labels: Tensor) -> None:
        source = fingerprint(images, labels)
        done = self.store.source(index)
        status = "from before"
        if done is None and self.store.finished is None:
            chunk, status = self.make(trainer, index, images, labels, source)
            if self.writes(trainer):
                self.store.save(index, chunk)
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
            self.again()
            return
        there = self.store.indices()
        if there != list(range(chunks)):
            raise UserError(
                f"{len(there)} of {chunks} chunks are done: repeat the command to go on, without "
                "fast_dev_run or limit_predict_batches."
            )
        self.merge()


def run_stored(
    trainer: Trainer,
    model: LightningModule,
    loop: StoredLoop,
    ckpt_path: str | None,
    weights_only: bool | None,
    done: str,
) -> dict[str, Any]:
    """Run a loop, or go on with it, and return the manifest of its finished store.

    Args:
        trainer: Brings devices, strategy and precision.
        model: What the loop works on.
        loop: The loop.
        ckpt_path: The model's weights; where None those it has.
        weights_only: See Lightning's `Trainer.predict`.
        done: What the loop does with a chunk, in a word for the message: `attacked`.

    Raises:
        UserError: The Trainer stops before the first chunk.
    """
    store = loop.store
    run_loop(trainer, model, loop, lambda: saved_in(store), ckpt_path, weights_only)
    finished = store.finished
    if finished is None:
        raise UserError(f"no chunk was {done}: fast_dev_run or limit_predict_batches stop it.")
    return dict(finished)


def saved_in(store: Store) -> str:
    """Say how many chunks are stored, for a message when the user stops the run."""
    count = len(store.indices())
    what = "1 finished chunk is" if count == 1 else f"{count} finished chunks are"
    return f"{what} saved in {store.folder}: the same command goes on from there"
