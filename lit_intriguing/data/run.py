"""What a data module shares with the run that uses it: a seed, and a validation that may lack."""

import os

from lightning.pytorch import LightningDataModule, Trainer

from lit_intriguing.errors import UserError


def run_seed() -> int:
    """Return the seed given to Lightning's `seed_everything`, or 0."""
    return int(os.environ.get("PL_GLOBAL_SEED", "0"))


def place_in_data(trainer: Trainer | None) -> tuple[int, int]:
    """Return which share of the data this process gets, from 0, and how many shares there are.

    Processes that share the layers of one model (`tensor_parallel`) get the same.
    """
    if trainer is None:
        return 0, 1
    shares = getattr(trainer.strategy, "distributed_sampler_kwargs", None) or {}
    rank, count = shares.get("rank"), shares.get("num_replicas")
    return trainer.global_rank if rank is None else rank, count or trainer.world_size


def checked_sizes(**sizes: int) -> None:
    """Refuse a size below 1.

    Args:
        **sizes: By the name of the option.

    Raises:
        UserError: The first that is too small.
    """
    for name, size in sizes.items():
        if size < 1:
            raise UserError(f"{name} must be at least 1, not {size}")


class OptionalValidation(LightningDataModule):
    """A data module that switches the Trainer's validation off where it has no examples for it."""

    def __init__(self) -> None:
        super().__init__()
        self._switched_off: tuple[Trainer, int | float] | None = None

    def switch_validation_off(self) -> None:
        """Switch it off until `give_validation_back`, `teardown` or an exception."""
        trainer: Trainer | None = self.trainer
        if trainer is not None:
            # Lightning's own switch: an empty loader or none at all would make it warn.
            self._switched_off = (trainer, trainer.limit_val_batches)
            trainer.limit_val_batches = 0

    def give_validation_back(self) -> None:
        """Undo `switch_validation_off`."""
        # The Trainer is stored with its limit: `self.trainer` may be another one by now.
        if self._switched_off is not None:
            owner, limit = self._switched_off
            owner.limit_val_batches = limit
        self._switched_off = None

    def teardown(self, stage: str) -> None:
        """Give the Trainer its validation back if `setup` switched it off."""
        self.give_validation_back()

    def on_exception(self, exception: BaseException) -> None:
        """Give the Trainer its validation back: `teardown` is not called after an exception."""
        self.give_validation_back()
