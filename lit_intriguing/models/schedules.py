"""Learning rates over the whole run, whose length the module sets."""

import math
from typing import Any, Protocol, runtime_checkable

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from lit_intriguing.argument_types import checked_arguments
from lit_intriguing.errors import UserError


@runtime_checkable
class NeedsRunLength(Protocol):
    """A schedule that needs to know how often it moves on in the run."""

    def set_run_length(self, steps: int) -> None:
        """Set the length, before the first step."""


@checked_arguments
class CosineOverRun(LRScheduler):
    """A rate that falls along half a cosine, from the optimiser's to `floor` times that.

    `Classifier` sets the length of the run, in the optimiser steps or epochs with which the
    schedule moves on, so there is no number to work out by hand; elsewhere call `set_run_length`.
    The length is not saved in the checkpoint: a run resumed with more epochs has the cosine of its
    new length.

    Args:
        optimizer: Its learning rate is set.
        warmup: Share of the run, in [0, 1), over which the rate first rises from 0.
        floor: Share of the rate that is left at the end, in [0, 1].

    Raises:
        UserError: For a share out of range; in `step`, if the length is unknown.
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
        """Set the number of calls of `step` in the run, and the first rate.

        Raises:
            UserError: If it is less than one.
        """
        if steps < 1:
            raise UserError(f"a run has at least one step, not {steps}")
        self.run_length = steps
        for group, rate in zip(self.optimizer.param_groups, self.get_lr(), strict=True):
            group["lr"] = rate

    def get_lr(self) -> list[float | Tensor]:
        """Return the rates of the parameter groups at the present step."""
        return [float(base) * self._share(self.last_epoch) for base in self.base_lrs]

    def state_dict(self) -> dict[str, Any]:
        """Return the state without the length of the run."""
        return {key: value for key, value in super().state_dict().items() if key != "run_length"}

    def _share(self, step: int) -> float:
        if self.run_length is None:
            if step > 0:
                raise UserError("CosineOverRun does not know the run's length: call set_run_length")
            return 1.0
        # Rounding must leave at least the last step of a short run to fall.
        rising = min(round(self.warmup * self.run_length), self.run_length - 1)
        if step < rising:
            return (step + 1) / rising
        done = min(1.0, (step - rising) / (self.run_length - rising))
        return self.floor + (1 - self.floor) * 0.5 * (1 + math.cos(math.pi * done))
