"""What the data modules whose examples are read from files as they are needed have in common."""

from collections.abc import Callable
from typing import Any, TypeVar

from lightning.fabric.utilities.data import suggested_max_num_workers
from torch.utils.data import DataLoader, Sampler

from lit_intriguing.data.images.dataset import (
    EpochDataset,
    TrainingOrder,
    evaluation_batch,
    evaluation_order,
)
from lit_intriguing.data.run import OptionalValidation, place_in_data
from lit_intriguing.errors import UserError
from lit_intriguing.patience import prepare_to_wait, wait_for_all

MOST_WORKERS = 8
T = TypeVar("T")


class FileDataModule(OptionalValidation):
    """A data module that reads its examples in worker processes, in orders fixed by a seed.

    Attributes:
        workers: Processes that read, for each process that trains; None for the machine's cores,
            divided by these, at most `MOST_WORKERS`.
    """

    workers: int | None

    def training_loader(
        self, dataset: EpochDataset, seed: int, batch_size: int, drop_last: bool
    ) -> "DataLoader[Any]":
        """Return this process's batches, in an order that depends on `(seed, epoch)` alone.

        Raises:
            UserError: If there are too few examples for a batch.
        """
        order = TrainingOrder(dataset, seed, drop_last, *self.place())
        if len(order) == 0 or (drop_last and len(order) < batch_size):
            raise UserError(
                f"{len(dataset)} training images are too few for a batch of {batch_size} on "
                f"{self.place()[1]} process(es): use a smaller batch_size"
            )
        return self._loader(dataset, order, batch_size, drop_last)

    def evaluation_loader(self, dataset: EpochDataset, batch_size: int) -> "DataLoader[Any]":
        """Return this process's batches in the data's own order.

        Raises:
            UserError: If there are fewer examples than processes.
        """
        place = self.place()
        order = evaluation_order(dataset, *place)
        size = evaluation_batch(len(dataset), batch_size, place[1])
        return self._loader(dataset, order, size, False)

    def place(self) -> tuple[int, int]:
        """Return which share of the examples this process gets, and how many there are."""
        return place_in_data(self.trainer)

    def worker_count(self) -> int:
        """Return how many processes read."""
        if self.workers is not None:
            return self.workers
        beside = 1 if self.trainer is None else max(1, self.trainer.num_devices)
        return min(MOST_WORKERS, suggested_max_num_workers(beside))

    def one_first(self, look: Callable[[bool], T]) -> T:
        """Have one process of a machine look at the files, and the others use what it stored.

        Args:
            look: Takes whether this process is that one.
        """
        trainer = self.trainer
        shared = trainer is not None and trainer.world_size > 1
        first = trainer is None or trainer.local_rank == 0
        if shared:
            prepare_to_wait()
        if shared and not first:
            wait_for_all()
        found = look(first)
        if shared and first:
            wait_for_all()
        return found

    def _loader(
        self, dataset: EpochDataset, order: Sampler[int], batch_size: int, drop_last: bool
    ) -> "DataLoader[Any]":
        trainer = self.trainer
        return DataLoader(
            dataset,
            batch_size=batch_size,  # by name: Lightning makes the loader anew to predict
            sampler=order,
            num_workers=self.worker_count(),  # not persistent: they would not learn of a new epoch
            drop_last=drop_last,
            pin_memory=trainer is not None and trainer.strategy.root_device.type == "cuda",
        )
