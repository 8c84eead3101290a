"""What the data modules with everything in memory have in common."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from lit_intriguing.data.run import OptionalValidation, checked_sizes, place_in_data, run_seed
from lit_intriguing.data.tensor_loader import TensorLoader
from lit_intriguing.errors import UserError


@dataclass
class Split:
    """A part of a data set, a row for each example.

    Attributes:
        inputs: `(N, *S)`: images float32 in [0, 1], features, or tokens.
        labels: Classes `(N,)` int64, masks `(N, H, W)`, or targets.
    """

    inputs: Tensor
    labels: Tensor

    def move(self, device: torch.device) -> None:
        """Put the tensors on `device`; copies elsewhere are dropped."""
        self.inputs = self.inputs.to(device)
        self.labels = self.labels.to(device)


class TensorDataModule(OptionalValidation, ABC):
    """A data module of splits in memory, on the Trainer's device if there is a Trainer.

    Each process holds all of its splits; `TensorLoader` gives this rank's examples.

    Args:
        batch_size: Examples in a training batch, per process.
        eval_batch_size: Examples in a batch of validation, test and prediction, per process.
        drop_last: Leave out the training examples of an epoch that do not fill a batch.
        seed: Seed of the order of the training examples; None for the run's own
            (`seed_everything`).

    Raises:
        UserError: For a batch size below 1.
    """

    def __init__(
        self,
        batch_size: int,
        eval_batch_size: int,
        drop_last: bool,
        seed: int | None,
    ) -> None:
        super().__init__()
        checked_sizes(batch_size=batch_size, eval_batch_size=eval_batch_size)
        self.batch_size = batch_size
        self.eval_batch_size = eval_batch_size
        self.drop_last = drop_last
        self.seed = seed
        self._splits: dict[str, Split] = {}

    @abstractmethod
    def load_training(self) -> tuple[Split, Split | None]:
        """Return the training examples and those held out for validation, if any."""

    @abstractmethod
    def load_test(self) -> Split:
        """Return the test examples."""

    def setup(self, stage: str | None = None) -> None:
        """Load what `stage` ("fit", "validate", "test", "predict" or None for all) needs.

        Raises:
            UserError: For "validate" without held-out examples.
        """
        self.give_validation_back()
        if stage in ("fit", "validate", None) and "train" not in self._splits:
            self._splits["train"], held_out = self.load_training()
            if held_out is not None:
                self._splits["validation"] = held_out
        if stage == "validate" and "validation" not in self._splits:
            raise UserError("no examples are held out to validate on: set the data's `validation`")
        if stage == "fit" and "validation" not in self._splits:
            self.switch_validation_off()
        if stage in ("test", "predict", None) and "test" not in self._splits:
            self._splits["test"] = self.load_test()

    def mean_input(self) -> Tensor:
        """Return the mean of the training inputs, `(*S)`, float32; after `setup("fit")`.

        Those held out for validation are not among them.
        """
        return self._splits["train"].inputs.double().mean(0).float()

    def train_dataloader(self) -> TensorLoader:
        """Return shuffled batches of the training examples."""
        seed = run_seed() if self.seed is None else self.seed
        return self._loader("train", self.batch_size, True, seed, self.drop_last)

    def val_dataloader(self) -> TensorLoader | list[TensorLoader]:
        """Return batches of the held-out examples; an empty list if there are none."""
        return self._evaluation("validation") if "validation" in self._splits else []

    def test_dataloader(self) -> TensorLoader:
        """Return batches of the test examples, in order."""
        return self._evaluation("test")

    def predict_dataloader(self) -> TensorLoader:
        """Return batches of the test examples, in order."""
        return self._evaluation("test")

    def _evaluation(self, name: str) -> TensorLoader:
        return self._loader(name, self.eval_batch_size, False, 0, False)

    def _loader(
        self, name: str, batch_size: int, shuffle: bool, seed: int, drop_last: bool
    ) -> TensorLoader:
        split, trainer = self._splits[name], self.trainer
        if trainer is not None:
            split.move(trainer.strategy.root_device)
        rank, shares = place_in_data(trainer)
        return TensorLoader(
            split.inputs,
            split.labels,
            batch_size,
            shuffle=shuffle,
            seed=seed,
            drop_last=drop_last,
            rank=rank,
            world_size=shares,
        )
