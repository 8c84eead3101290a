"""What one process does for all, and when the work is done."""

from typing import Any

import pytest
import torch
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.strategies import SingleDeviceStrategy
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

from lit_intriguing.errors import UserError
from lit_intriguing.models import Classifier
from lit_intriguing.splits.loop import ChunkLoop, on_rank_zero, run_loop
from lit_intriguing.splits.split import SplitData


class Noted(SingleDeviceStrategy):
    """Keeps what it tells other processes."""

    def __init__(self) -> None:
        super().__init__(torch.device("cpu"))
        self.told: list[Any] = []

    def broadcast(self, obj: Any, src: int = 0) -> Any:
        self.told.append(obj)
        return obj


@pytest.mark.parametrize("error", [UserError("no"), OSError("no space left on device")])
def test_other_processes_learn_of_any_error_of_the_first(error: Exception) -> None:
    def fails() -> None:
        raise error

    strategy = Noted()
    trainer = Trainer(
        accelerator="cpu", strategy=strategy, logger=False, enable_checkpointing=False
    )
    with pytest.raises(type(error), match=str(error)):
        on_rank_zero(trainer, fails)
    assert strategy.told == [True]


class Stream(IterableDataset):
    """Ten examples, one after the other, without a length."""

    def __iter__(self):
        return iter([(torch.rand(4), i % 2) for i in range(10)])


class Streamed(LightningDataModule):
    def test_dataloader(self):
        return DataLoader(Stream(), batch_size=4)


class Counted(ChunkLoop):
    """Counts the images of chunks, and notes what it was finished with."""

    def begin(self, trainer: Trainer, module: LightningModule) -> None:
        self.images, self.chunks = 0, None

    def work(self, trainer: Trainer, index: int, images: Tensor, labels: Tensor) -> None:
        self.images += len(images)
        self.advance("")

    def finish(self, trainer: Trainer, chunks: int) -> None:
        self.chunks = chunks


@pytest.mark.parametrize(("limit", "images"), [(2, 6), (None, 10)])
def test_a_stream_that_was_not_read_to_its_end_is_not_finished(
    limit: int | None, images: int
) -> None:
    loop = Counted(SplitData(Streamed(), "test", 3, None))
    trainer = Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, limit_predict_batches=limit,
        enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    model = Classifier([4, 2], nn.ReLU)
    if limit is None:
        run_loop(trainer, model, loop, lambda: "")
    else:
        with pytest.raises(UserError, match="2 chunks are done, and there may be more: repeat"):
            run_loop(trainer, model, loop, lambda: "")
    assert (loop.images, loop.chunks) == (images, 4 if limit is None else None)
