"""What the data modules with everything in memory have in common."""

import os
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from lightning.pytorch import LightningDataModule, Trainer
from torch import Tensor

from lit_intriguing.data.tensor_loader import TensorLoader
from lit_intriguing.errors import UserError


@dataclass
class Split:
    """A part of a data set: `inputs` (N, *S) float32 in [0, 1], `labels` (N,) int64."""

    inputs: Tensor
    labels: Tensor

    def move(self, device: torch.device) -> None:
        """Put the tensors on `device`; the copies elsewhere are let go."""
        self.inputs = self.inputs.to(device)
        self.labels = self.labels.to(device)


def run_seed() -> int:
    """The seed given to Lightning's `seed_everything`, or 0."""
    return int(os.environ.get("PL_GLOBAL_SEED", "0"))


class TensorDataModule(LightningDataModule, ABC):
    """Serves splits through `TensorLoader`, on the trainer's device where there is a trainer.

    Each process holds the whole of its splits; the loader hands out this rank's rows.

    Args:
        batch_size: rows a training batch, per process.
        eval_batch_size: rows a batch in validation, test and prediction, per process.
        drop_last: leave out the training rows of an epoch that do not fill a batch.
        seed: of the order of the training rows; None is the run's own (`seed_everything`).

    Raises:
        UserError: a batch size below 1.
    """

    def __init__(
        self,
        batch_size: int,
        eval_batch_size: int,
        drop_last: bool,
        seed: int | None,
    ) -> None:
        super().__init__()
        for name, size in (("batch_size", batch_size), ("eval_batch_size", eval_batch_size)):
            if size < 1:
                raise UserError(f"{name} must be at least 1, not {size}")
        self.batch_size = batch_size
        self.eval_batch_size = eval_batch_size
        self.drop_last = drop_last
        self.seed = seed
        self._splits: dict[str, Split] = {}
        self._switched_off: tuple[Trainer, int | float] | None = None

    @abstractmethod
    def load_training(self) -> tuple[Split, Split | None]:
        """The training rows and those held out for validation, if any."""

    @abstractmethod
    def load_test(self) -> Split:
        """The test rows."""

    def setup(self, stage: str | None = None) -> None:
        """Load what `stage` ("fit", "validate", "test", "predict" or None for all) needs.

        Raises:
            UserError: "validate" without held-out rows.
        """
        self._give_validation_back()
        if stage in ("fit", "validate", None) and "train" not in self._splits:
            self._splits["train"], held_out = self.load_training()
            if held_out is not None:
                self._splits["validation"] = held_out
        if stage == "validate" and "validation" not in self._splits:
            raise UserError("no rows are held out to validate on: set the data's `validation`")
        trainer: Trainer | None = self.trainer
        if stage == "fit" and trainer is not None and "validation" not in self._splits:
            # Lightning's own switch: an empty loader or none at all would make it warn.
            self._switched_off = (trainer, trainer.limit_val_batches)
            trainer.limit_val_batches = 0
        if stage in ("test", "predict", None) and "test" not in self._splits:
            self._splits["test"] = self.load_test()

    def teardown(self, stage: str) -> None:
        """Give the trainer its validation back where `setup` had switched it off."""
        self._give_validation_back()

    def on_exception(self, exception: BaseException) -> None:
        """Give the trainer its validation back: `teardown` is not called after an exception."""
        self._give_validation_back()

    def train_dataloader(self) -> TensorLoader:
        """Shuffled batches of the training rows."""
        seed = run_seed() if self.seed is None else self.seed
        return self._loader("train", self.batch_size, True, seed, self.drop_last)

    def val_dataloader(self) -> TensorLoader | list[TensorLoader]:
        """Batches of the held-out rows; an empty list without such rows."""
        return self._evaluation("validation") if "validation" in self._splits else []

    def test_dataloader(self) -> TensorLoader:
        """Batches of the test rows, in order."""
        return self._evaluation("test")

    def predict_dataloader(self) -> TensorLoader:
        """Batches of the test rows, in order."""
        return self._evaluation("test")

    def _give_validation_back(self) -> None:
        # The trainer is kept with its limit: `self.trainer` may be another one by now.
        if self._switched_off is not None:
            owner, limit = self._switched_off
            owner.limit_val_batches = limit
        self._switched_off = None

    def _evaluation(self, name: str) -> TensorLoader:
        return self._loader(name, self.eval_batch_size, False, 0, False)

    def _loader(
        self, name: str, batch_size: int, shuffle: bool, seed: int, drop_last: bool
    ) -> TensorLoader:
        split, trainer = self._splits[name], self.trainer
        if trainer is not None:
            split.move(trainer.strategy.root_device)
        return TensorLoader(
            split.inputs,
            split.labels,
            batch_size,
            shuffle=shuffle,
            seed=seed,
            drop_last=drop_last,
            rank=0 if trainer is None else trainer.global_rank,
            world_size=1 if trainer is None else trainer.world_size,
        )
