"""Optimiser and schedule of our modules, given from outside."""

import math
from collections.abc import Iterable

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from lit_intriguing.errors import UserError
from lit_intriguing.models.described import Described
from lit_intriguing.models.schedules import NeedsRunLength
from lit_intriguing.private.of_lightning import trainer_or_none


class Optimised(Described):
    """A module that is trained with an optimiser and a schedule given from outside.

    Args:
        optimizer: Makes the optimiser of the parameters. Its `weight_decay` acts on the `decayed`
            weights alone.
        scheduler: Makes the schedule of the learning rate; one with `set_run_length` gets the
            number of steps, or of epochs, of the run.
        scheduler_interval: "step" or "epoch": when the schedule moves on.

    Raises:
        UserError: For another interval.
    """

    monitor = "val/error"
    """What a schedule that waits for a plateau looks at."""

    def __init__(
        self,
        optimizer: OptimizerCallable = torch.optim.Adam,
        scheduler: LRSchedulerCallable | None = None,
        scheduler_interval: str = "step",
    ) -> None:
        super().__init__()
        self.optimizer = optimizer
        self.scheduler = scheduler
        if scheduler_interval not in ("step", "epoch"):
            raise UserError(f'scheduler_interval is "step" or "epoch", not {scheduler_interval!r}')
        self.scheduler_interval = scheduler_interval

    def decayed(self) -> Iterable[Tensor]:
        """Return the weights on which the optimiser's decay acts: those of more than one axis."""
        return [one for one in self.parameters() if one.ndim > 1]

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Return the injected optimiser, and the schedule if there is one."""
        optimizer = self._optimizer()
        if self.scheduler is None:
            return optimizer
        scheduler = self.scheduler(optimizer)
        if isinstance(scheduler, ReduceLROnPlateau):
            return {
                "optimizer": optimizer,
                "lr_scheduler": {"scheduler": scheduler, "monitor": self.monitor},
            }
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": self.scheduler_interval},
        }

    def on_train_start(self) -> None:
        """Set the length of the run in the schedule.

        Not in `configure_optimizers`: asking there makes Lightning set the loaders up before it
        reads the checkpoint, and their saved position is then lost.
        """
        for config in self.trainer.lr_scheduler_configs:
            if isinstance(config.scheduler, NeedsRunLength):
                config.scheduler.set_run_length(self._run_length(config.interval))

    def _optimizer(self) -> Optimizer:
        trained = [one for one in self.parameters() if one.requires_grad]
        optimizer = self.optimizer(trained)
        if not optimizer.defaults.get("weight_decay"):
            return optimizer
        ours = {id(one) for one in self.decayed()}
        weights = [one for one in trained if id(one) in ours]
        others = [one for one in trained if id(one) not in ours]
        return self.optimizer([{"params": weights}, {"params": others, "weight_decay": 0.0}])

    def _run_length(self, interval: str) -> int:
        """Return how often a schedule moves on that does so each "step" or each "epoch"."""
        steps = self.trainer.estimated_stepping_batches
        # Lightning says -1 for batches without end.
        if math.isinf(steps) or steps < 1:
            raise UserError(
                "the schedule needs a run with an end: set max_epochs, or max_steps where an "
                "epoch has no end"
            )
        return int(steps) if interval == "step" else math.ceil(steps / self._steps_an_epoch())

    def _steps_an_epoch(self) -> int:
        batches = self.trainer.num_training_batches
        if math.isinf(batches):
            raise UserError(
                "the schedule moves on once an epoch, and an epoch of this data has no end: set "
                'scheduler_interval to "step"'
            )
        return math.ceil(batches / self.trainer.accumulate_grad_batches)

    def writes_now(self) -> bool:
        """Return whether the Trainer writes what is logged in this step."""
        trainer = trainer_or_none(self)
        if trainer is None:
            return False
        every: int = trainer.log_every_n_steps  # type: ignore[attr-defined]
        return every > 0 and (trainer.global_step + 1) % every == 0
