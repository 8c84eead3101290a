"""The network of logistic units that a trained network of tanh units is, written and tested."""

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor
from torchmetrics import MaxMetric, MeanMetric

from lit_intriguing.argument_types import checked_arguments
from lit_intriguing.errors import UserError
from lit_intriguing.hosts.sharding import takes_apart
from lit_intriguing.models.classifier import Classifier
from lit_intriguing.models.described import checkpoint_of
from lit_intriguing.models.logistic import logistic_from_tanh
from lit_intriguing.whole_files import draft


@checked_arguments
class LogisticFromTanh(Callback):
    """A `Classifier` of tanh units, handed over as the network of logistic units that it is.

    Networks train better with tanh units, and each computes what a network of logistic sigmoids of
    the same widths does (`lit_intriguing.models.logistic_from_tanh`). When training ends the
    callback writes that network as a checkpoint of its own, which every command takes. In a test it
    reads each batch with it as well, logs `test/logistic_error`, the fraction of wrong predictions,
    and `test/logistic_difference`, the largest difference of a logit, and prints both. Training
    does not change. It goes behind `MovingAverage`, whose weights it is to take.

    Args:
        filename: Of the checkpoint, in the run's folder for logs, or in `default_root_dir` where
            there is none.

    Raises:
        UserError: Before training or a test, for a model that is no `Classifier` of tanh units with
            biases, a strategy that shards the weights, or a moving average of the weights behind
            it, which would come too late.
    """

    def __init__(self, filename: str = "logistic.ckpt") -> None:
        super().__init__()
        self.filename = filename
        self._made: Classifier | None = None
        self._error, self._difference = MeanMetric(), MaxMetric()

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuse what has no such network, or not all of it."""
        if takes_apart(trainer.strategy):
            raise UserError(
                "LogisticFromTanh needs all weights on each process, and "
                f"{type(trainer.strategy).__name__} shards them: use ddp, or leave it out"
            )
        callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
        for later in callbacks[callbacks.index(self) + 1 :]:
            if any(kind.__name__ == "WeightAveraging" for kind in type(later).__mro__):
                raise UserError(
                    f"LogisticFromTanh stands before {type(later).__name__} and would write "
                    "weights that are not averaged: put it behind it in the list of callbacks"
                )
        _logistic(pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the checkpoint."""
        path = Path(trainer.log_dir or trainer.default_root_dir) / self.filename
        if trainer.is_global_zero:
            path.parent.mkdir(parents=True, exist_ok=True)
            with draft(path) as file:
                torch.save(checkpoint_of(_logistic(pl_module).cpu()), file)
            print(f"the network of logistic units: {path}", flush=True)

    def on_test_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Make the network of the weights that are tested."""
        self._made = _logistic(pl_module)
        self._error = MeanMetric().to(pl_module.device)
        self._difference = MaxMetric().to(pl_module.device)

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: tuple[Tensor, Tensor],
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Read the batch with both networks."""
        assert self._made is not None
        x, y = batch
        logits = self._made(x)
        self._error.update((logits.argmax(1) != y).float())
        self._difference.update((logits - pl_module(x)).abs().max())

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log and print its error, and how far its logits are from those of the tanh network."""
        error, difference = self._error.compute(), self._difference.compute()
        pl_module.log("test/logistic_error", error)
        pl_module.log("test/logistic_difference", difference)
        if trainer.is_global_zero:
            print(
                f"with logistic units: test error {float(error):.2%}, logits within "
                f"{float(difference):.1g} of those with tanh",
                flush=True,
            )


def _logistic(module: LightningModule) -> Classifier:
    try:
        return logistic_from_tanh(module)  # type: ignore[arg-type]  # it says what it refuses
    except UserError as error:
        raise UserError(f"LogisticFromTanh: {error}") from error
