"""Learning rates over the whole run, whose length the module tells."""

import math
from typing import Any, Protocol, runtime_checkable

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from lit_intriguing.errors import UserError


@runtime_checkable
class NeedsRunLength(Protocol):
    """A schedule that must be told how often it moves on in the run."""

    def set_run_length(self, steps: int) -> None:
        """Take the length, before the first step."""


class CosineOverRun(LRScheduler):
    """From the optimiser's learning rate to `floor` times it along half a cosine.

    `Classifier` tells it the length of the run, in optimiser steps or in epochs, whichever it
    moves on with, so there is no number to work out by hand; elsewhere call `set_run_length`. The
    length is not kept in the checkpoint: a run resumed with more epochs follows the cosine of its
    new length.

    Args:
        optimizer: whose learning rate is set.
        warmup: share of the run, in [0, 1), over which the rate first rises from 0.
        floor: share of the rate that is left at the end, in [0, 1].

    Raises:
        UserError: a share out of range; in `step`, if the length is not known.
    """

    def __init__(self, optimizer: Optimizer, warmup: float = 0.0, floor: float = 0.0) -> None:
        if not 0 <= warmup < 1:
            raise UserError(f"warmup is a share of the run from 0 to below 1, not {warmup}")
        if not 0 <= floor <= 1:
            raise UserError(f"floor is a share of the learning rate from 0 to 1, not {floor}")
        self.warmup = warmup
        self.floor = floor
        self.run_length: int | None = None
        super().__init__(optimizer)

    def set_run_length(self, steps: int) -> None:
        """Take the number of calls of `step` in the run and set the first rate.

        Raises:
            UserError: less than one.
        """
        if steps < 1:
            raise UserError(f"a run has at least one step, not {steps}")
        self.run_length = steps
        for group, rate in zip(self.optimizer.param_groups, self.get_lr(), strict=True):
            group["lr"] = rate

    def get_lr(self) -> list[float | Tensor]:
        """The rates of the parameter groups at the present step."""
        return [float(base) * self._share(self.last_epoch) for base in self.base_lrs]

    def state_dict(self) -> dict[str, Any]:
        """The state without the length of the run."""
        return {key: value for key, value in super().state_dict().items() if key != "run_length"}

    def _share(self, step: int) -> float:
        if self.run_length is None:
            if step > 0:
                raise UserError("CosineOverRun was not told the run's length: set_run_length")
            return 1.0
        # A short run may round up to rising alone: its last step is left to fall.
        rising = min(round(self.warmup * self.run_length), self.run_length - 1)
        if step < rising:
            return (step + 1) / rising
        done = min(1.0, (step - rising) / (self.run_length - rising))
        return self.floor + (1 - self.floor) * 0.5 * (1 + math.cos(math.pi * done))
