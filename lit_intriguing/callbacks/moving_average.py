"""An exponential moving average of the weights that is useful from the first steps on."""

import functools
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor
from typing_extensions import override

from lit_intriguing.argument_types import checked_arguments
from lit_intriguing.checks import check_whole
from lit_intriguing.errors import UserError
from lit_intriguing.hosts.checkpoint_file import check_checkpoint
from lit_intriguing.hosts.sharding import takes_apart
from lit_intriguing.private.of_lightning import same_class_for


@checked_arguments
class MovingAverage(WeightAveraging):
    """A moving average of the weights that is validated, tested and saved in their place.

    Lightning's `WeightAveraging` with
    `average = d * average + (1 - d) * weights`. In the n-th update d is at most
    `(1 + n) / (10 + n)`, so that a short run does not end with the weights it began with.
    Training itself is the same as without it. Of whole numbers and truth values (the counters of
    BatchNorm, tables of positions) there is no average: they are those of the last update.

    Args:
        decay: d, in [0, 1).
        every_n_steps: Optimiser steps from one update to the next, or a few more where a batch has
            several.

    Raises:
        ValueError: For a number out of range.
        UserError: When training starts, under a strategy that shards the weights.
    """

    def __init__(self, decay: float = 0.999, every_n_steps: int = 1) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"MovingAverage: decay must lie in [0, 1), not {decay}.")
        check_whole("MovingAverage", 1, every_n_steps=every_n_steps)
        self.decay, self.every_n_steps = decay, every_n_steps
        options: dict[str, Any] = {"avg_fn": functools.partial(_average, decay)}
        super().__init__(**options)
        self._updated_at: int | None = None

    @override
    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        check_checkpoint(trainer)
        if stage == "fit" and takes_apart(trainer.strategy):
            raise UserError(
                f"MovingAverage needs all weights on each process, and "
                f"{type(trainer.strategy).__name__} shards them: use ddp, or leave MovingAverage "
                "out."
            )
        if stage == "fit" and trainer.global_step == 0:  # a new run
            self.load_state_dict({"latest_update_step": 0})
        # Each package's own asks whether a module of that package overrides a hook.
        same_class_for(pl_module, WeightAveraging).setup(self, trainer, pl_module, stage)

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        """Return whether it is time, after a step (counted from 0)."""
        if step_idx is None:
            return False
        # Counted from the last update: where a batch has several steps not each number comes.
        due = self._updated_at is None or step_idx >= self._updated_at + self.every_n_steps
        if due:
            self._updated_at = step_idx
        return due

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a checkpoint."""
        super().load_state_dict(state_dict)
        steps = state_dict["latest_update_step"]
        self._updated_at = steps - 1 if steps else None


def _average(decay: float, average: Tensor, weights: Tensor, updates: Tensor | int) -> Tensor:
    """Return the next average, of the dtype of the one before."""
    if not (average.is_floating_point() or average.is_complex()):
        return weights
    count = float(updates)
    decay = min(decay, (1 + count) / (10 + count))
    return torch.lerp(average, weights.to(average.dtype), 1 - decay)
