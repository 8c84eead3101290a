"""The error on the training examples, and on those of other data, once training is over."""

from collections.abc import Mapping

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from lit_intriguing.autograd import preserved
from lit_intriguing.data.tensor_loader import TensorLoader
from lit_intriguing.data.tensor_module import TensorDataModule
from lit_intriguing.errors import UserError
from lit_intriguing.metrics import ErrorRate

CHUNK = 1000
"""Examples in a forward pass."""


class TrainingError(Callback):
    """The error of the trained network on the examples that it was trained on.

    Logs `train/error`, and `train/error/<name>` for each of `others`, fractions of wrong
    predictions, to every logger, and prints a line for each; they are also in `errors`. The
    callback only measures: weights, modes, random states and the order of the data do not change.
    Under several processes the first one measures, on all examples.

    Args:
        paper: What the paper reports, for the line printed.
        others: Data whose training examples are measured too, by name, such as the other half of
            MNIST.

    Raises:
        UserError: When training starts, for examples that are not in memory (`TensorLoader`).
    """

    def __init__(
        self, paper: str | None = None, others: Mapping[str, TensorDataModule] | None = None
    ) -> None:
        super().__init__()
        self.paper = paper
        self.others = dict(others or {})
        self.errors: dict[str, float] = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Refuse what could not be measured at the end, and download data that is missing."""
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
            part, _ = data.load_training()
            self.errors[f"train/error/{name}"] = error_on(
                trainer, pl_module, part.inputs, part.labels
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
    """Return the fraction of examples that the module, in evaluation mode, misclassifies.

    Args:
        trainer: Gives the precision.
        module: Maps inputs to logits `(N, C)`.
        inputs: `(N, *S)`, on any device.
        labels: `(N,)`.
    """
    metric = ErrorRate().to(module.device)
    with preserved(module), torch.no_grad(), trainer.precision_plugin.forward_context():
        for start in range(0, len(labels), CHUNK):
            part = slice(start, start + CHUNK)
            x = trainer.precision_plugin.convert_input(inputs[part].to(module.device))
            metric.update(module(x), labels[part].to(module.device))
    return float(metric.compute())


def _loader(trainer: Trainer) -> TensorLoader:
    loader = trainer.train_dataloader
    if not isinstance(loader, TensorLoader):
        raise UserError(
            "the training error is measured on examples in memory, not on a "
            f"{type(loader).__name__}: use lit_intriguing.data.TensorLoader, or leave "
            "TrainingError out"
        )
    return loader
