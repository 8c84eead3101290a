"""A process of a run that dies, for tests of restarts."""

import os
import signal
from pathlib import Path

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import nn, save


class DieAndLeaveWeights(Callback):
    """Kills the last process at a step of each start; leaves the weights of one that ends.

    Args:
        steps: At which batches, one for each start that is to end so.
    """

    def __init__(self, steps: list[int]) -> None:
        self.steps = steps

    def on_train_batch_end(self, trainer: Trainer, *_: object) -> None:
        start = int(os.environ["TORCHELASTIC_RESTART_COUNT"])
        due = self.steps[start : start + 1] == [trainer.global_step]
        if due and trainer.global_rank == trainer.world_size - 1:
            os.kill(os.getpid(), signal.SIGKILL)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.is_global_zero:
            save(nn.utils.parameters_to_vector(pl_module.parameters()), Path("weights.pt"))
