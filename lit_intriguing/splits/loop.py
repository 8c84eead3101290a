"""Work on chunks of examples inside Lightning's predict loop, under any strategy."""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor
from typing_extensions import override

from lit_intriguing.errors import InterruptedRunError, UserError
from lit_intriguing.hosts.checkpoint_file import check_checkpoint
from lit_intriguing.hosts.sharding import flattens
from lit_intriguing.hosts.training_step import StepNotCalledError
from lit_intriguing.private.of_lightning import (
    added_callback,
    replace_strategy_step,
    restore_strategy_step,
)
from lit_intriguing.splits import locks
from lit_intriguing.splits.loader import KEYS, ChunkLoader
from lit_intriguing.splits.progress import ChunkProgress
from lit_intriguing.splits.split import SplitData, works_in_step

_NO_MATTER = ("Be aware that when using `ckpt_path`, callbacks", "The dirpath has changed")
"""What Lightning says of the callbacks in a checkpoint, of which only the weights are wanted."""


_OTHER_WEIGHTS = "Error(s) in loading state_dict"


class ChunkLoop(Callback, ABC):
    """A loop over the chunks of a split; each process works on whole chunks.

    What is done with a chunk may depend on its number and its examples and on nothing else: then
    the results are the same from any number of processes.

    Args:
        data: What the loop runs over.
        task: Name of the work, for the progress bar.
        steps: How often `work` calls `advance` for a chunk.
        unit: What `advance` counts.
    """

    def __init__(
        self, data: SplitData, task: str = "Attack", steps: int = 1, unit: str = "chunk"
    ) -> None:
        self.data, self.task, self.steps, self.unit = data, task, steps, unit
        self._progress: ChunkProgress | None = None
        self._position = 0

    @abstractmethod
    def begin(self, trainer: Trainer, module: LightningModule) -> None:
        """Prepare each process; the model is on its device."""

    @abstractmethod
    def work(self, trainer: Trainer, index: int, images: Tensor, labels: Tensor) -> None:
        """Work on a chunk, unless it is done, and call `advance`.

        Args:
            trainer: The Trainer.
            index: The chunk's number among all.
            images: `(n, *S)`.
            labels: `(n,)`.
        """

    @abstractmethod
    def finish(self, trainer: Trainer, chunks: int) -> None:
        """Put together what all processes have done, on rank 0 alone.

        Args:
            trainer: The Trainer.
            chunks: Number of chunks of all processes.
        """

    def advance(self, status: str) -> None:
        """Move the progress bar on.

        Args:
            status: Text behind the bar.
        """
        assert self._progress is not None
        self._progress.advance(status)

    def writes(self, trainer: Trainer) -> bool:
        """Return whether this process stores the results of its chunks."""
        return trainer.is_global_zero or not works_in_step(trainer.strategy)

    @override
    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Put a progress bar over the chunks in the place of Lightning's."""
        check_checkpoint(trainer)
        self._progress = ChunkProgress(trainer, self.task, self.unit)

    @override
    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put the work in the place of the module's own step.

        Raises:
            UserError: Under a strategy that takes the model apart.
        """
        if flattens(trainer.strategy):
            raise UserError(
                f"no attack under {type(trainer.strategy).__name__}, which takes the model apart: "
                "use ddp, or ModelParallelStrategy for a model that is too large for one device."
            )
        self.begin(trainer, pl_module)
        own = chunk_loader(trainer).own_chunks
        self._position = 0
        total = None if own is None else own * self.steps
        assert self._progress is not None
        self._progress.begin(total)
        replace_strategy_step(trainer, "predict_step", self._step)

    @override
    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Check that the chunk was worked on, and not passed to the module's own step.

        Raises:
            StepNotCalledError: If Lightning did not call the step of this loop.
        """
        if self._position == 0:
            raise StepNotCalledError(self.task, "predict_step")

    @override
    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put the processes' parts together.

        Raises:
            UserError: Data whose length only reading shows were not read to their end.
        """
        trainer.strategy.barrier("chunks")
        # Where the number of chunks is known only after reading, there is one process.
        loader = chunk_loader(trainer)
        if loader.chunks is None and not loader.exhausted:
            raise UserError(
                f"{self._position} chunks are done, and there may be more: repeat the command "
                "without fast_dev_run or limit_predict_batches."
            )
        total = self._position if loader.chunks is None else loader.chunks
        on_rank_zero(trainer, lambda: self.finish(trainer, total))

    @override
    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Give the strategy its own step back."""
        self._leave(trainer)

    @override
    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Give the strategy its own step back."""
        self._leave(trainer)

    def _leave(self, trainer: Trainer) -> None:
        restore_strategy_step(trainer, "predict_step")
        locks.release_all()
        if self._progress is not None:
            self._progress.close()
        self._progress = None

    def _step(self, batch: Any, *args: Any) -> int:
        """Work on a chunk and return its number."""
        trainer = self.data.trainer
        assert trainer is not None
        index = chunk_loader(trainer).index(self._position)
        self._position += 1
        self.work(trainer, index, *KEYS.resolve(batch).read(batch))
        return index


def run_loop(
    trainer: Trainer,
    model: LightningModule,
    loop: ChunkLoop,
    progress: Callable[[], str],
    ckpt_path: str | None = None,
    weights_only: bool | None = None,
) -> None:
    """Run a loop over its data.

    Args:
        trainer: Brings devices, strategy and precision.
        model: On the device meanwhile.
        loop: The work.
        progress: Returns what a message says when the user stops the run, such as "2 chunks are
            stored in x: the same command goes on from there".
        ckpt_path: The model's weights; None for those it has.
        weights_only: See Lightning's `Trainer.predict`.

    Raises:
        InterruptedRunError: If the user stopped it.
        UserError: If the checkpoint holds another model.
    """
    try:
        with added_callback(trainer, loop), warnings.catch_warnings():
            for message in _NO_MATTER:
                warnings.filterwarnings("ignore", message)
            trainer.predict(
                model,
                datamodule=loop.data,
                return_predictions=False,
                ckpt_path=ckpt_path,
                weights_only=weights_only,
            )
    except SystemExit as error:
        if not (trainer.interrupted and trainer.is_global_zero):
            raise
        raise InterruptedRunError(f"interrupted. {progress()}.") from error
    except RuntimeError as error:
        if _OTHER_WEIGHTS not in str(error):
            raise
        raise UserError(
            f"the checkpoint {ckpt_path} is not of this model: {' '.join(str(error).split())[:400]}"
        ) from error


def chunk_loader(trainer: Trainer) -> ChunkLoader:
    """Return the chunks that the predict loop of a `ChunkLoop` runs over."""
    loader = trainer.predict_dataloaders
    assert isinstance(loader, ChunkLoader)
    return loader


def on_rank_zero(trainer: Trainer, action: Callable[[], None]) -> None:
    """Do something on rank 0; if that fails, end every process.

    Raises:
        Exception: On rank 0, what the action raised.
        SystemExit: On the other ranks, if the action failed on rank 0.
    """
    error: Exception | None = None
    if trainer.is_global_zero:
        try:
            action()
        except Exception as failure:  # else the others would wait for this process
            error = failure
    failed = trainer.strategy.broadcast(error is not None)
    if error is not None:
        raise error
    if failed:
        raise SystemExit(UserError.status)
