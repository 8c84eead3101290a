"""The error on the training rows, and on those of other data, once training is over."""

from collections.abc import Mapping

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from lit_intriguing.autograd import preserved
from lit_intriguing.data.tensor_loader import TensorLoader
from lit_intriguing.data.tensor_module import TensorDataModule
from lit_intriguing.errors import UserError
from lit_intriguing.metrics import ErrorRate

ROWS = 1000
"""Rows of a forward pass."""


class TrainingError(Callback):
    """Measures the trained weights on the rows that they were trained on, and says the result.

    Gives every logger `train/error`, and `train/error/<name>` for each of `others`, fractions of
    wrong answers, and prints a line for each; they are kept in `errors`. It only measures: weights,
    modes, random states and the order of the data stay as they are. Under several processes
    the first one measures, on all rows.

    Args:
        paper: what the paper reports, for the line printed.
        others: data whose training rows are measured too, by name, such as the other half of
            MNIST.

    Raises:
        UserError: when training starts, rows that are not in memory (`TensorLoader`).
    """

    def __init__(
        self, paper: str | None = None, others: Mapping[str, TensorDataModule] | None = None
    ) -> None:
        super().__init__()
        self.paper = paper
        self.others = dict(others or {})
        self.errors: dict[str, float] = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Refuse what could not be measured at the end, and fetch what is not there."""
        _loader(trainer)
        for data in self.others.values():
            data.prepare_data()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measure, log and print."""
        if not trainer.is_global_zero:
            return
        loader = _loader(trainer)
        self.errors = {"train/error": error_on(trainer, pl_module, loader.inputs, loader.labels)}
        for name, data in self.others.items():
            rows, _ = data.load_training()
            self.errors[f"train/error/{name}"] = error_on(
                trainer, pl_module, rows.inputs, rows.labels
            )
        for logger in trainer.loggers:
            logger.log_metrics(self.errors, step=trainer.global_step)
        self._print(trainer)

    def _print(self, trainer: Trainer) -> None:
        beside = f" (paper: {self.paper})" if self.paper else ""
        own, *others = self.errors.values()
        trainer.print(f"training error {own:.2%}{beside}")
        for name, error in zip(self.others, others, strict=True):
            trainer.print(f"error on {name} {error:.2%}")


def error_on(trainer: Trainer, module: LightningModule, inputs: Tensor, labels: Tensor) -> float:
    """The fraction of rows that the module, in evaluation mode, gets wrong.

    Args:
        trainer: whose precision the module runs in.
        module: maps inputs to logits (N, C).
        inputs: (N, *S), on any device.
        labels: (N,).
    """
    metric = ErrorRate().to(module.device)
    with preserved(module), torch.no_grad(), trainer.precision_plugin.forward_context():
        for start in range(0, len(labels), ROWS):
            rows = slice(start, start + ROWS)
            x = trainer.precision_plugin.convert_input(inputs[rows].to(module.device))
            metric.update(module(x), labels[rows].to(module.device))
    return float(metric.compute())


def _loader(trainer: Trainer) -> TensorLoader:
    loader = trainer.train_dataloader
    if not isinstance(loader, TensorLoader):
        raise UserError(
            f"the training error is measured on rows in memory, not on a {type(loader).__name__}: "
            "serve the data by lit_intriguing.data.TensorLoader, or leave TrainingError out"
        )
    return loader
