"""The error on the training examples, and on those of other data, once training is over."""

import math
from collections.abc import Mapping

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from lit_intriguing.argument_types import checked_arguments
from lit_intriguing.autograd import preserved
from lit_intriguing.data.tensor_loader import TensorLoader
from lit_intriguing.data.tensor_module import TensorDataModule
from lit_intriguing.errors import UserError
from lit_intriguing.hosts.batch import BatchKeys, Place, name_of
from lit_intriguing.hosts.fixed_examples import is_class, on_device
from lit_intriguing.hosts.logits import LogitsModel, Output, logits_model
from lit_intriguing.hosts.muted import muted
from lit_intriguing.hosts.precision import in_precision
from lit_intriguing.isolation import own_randomness
from lit_intriguing.loggers.failures import attempt
from lit_intriguing.loggers.when import When
from lit_intriguing.splice import eager

CHUNK = 1000
"""Examples in a forward pass."""


@checked_arguments
class TrainingError(Callback):
    """The error of the trained network on the examples that it was trained on.

    Logs `train/error`, and `train/error_<name>` for each of `others`, fractions of wrong
    predictions, to every logger, and prints a line for each; they are also in `errors`. The
    examples pass through the module's hooks as in a validation. Those whose label is no class,
    since the loss ignores it (-1, 255), do not count. The callback only measures: weights, modes,
    random states and the order of the data do not change. Under several processes each measures
    the same, on all examples, as sharded weights ask for, and the first one writes.

    Args:
        paper: What the paper reports, for the line printed.
        others: Data whose training examples are measured too, by name, such as the other half of
            MNIST.
        model: Name of the submodule that maps inputs to logits; the default is the LightningModule
            if it defines `forward`.
        output: Where that submodule's output holds the logits, if it is more than a tensor: key,
            index, attribute, a path of these, or a function of the output.
        inputs: Where the hooks put the inputs: key, position, path or a function of the batch;
            found if there is no doubt.
        labels: Where they put the labels, likewise.

    Raises:
        UserError: When training starts, for examples that are not in memory (`TensorLoader`), or a
            model that gives no logits for them.
    """

    def __init__(
        self,
        paper: str | None = None,
        others: Mapping[str, TensorDataModule] | None = None,
        model: str | None = None,
        output: Output | None = None,
        inputs: Place | None = None,
        labels: Place | None = None,
    ) -> None:
        super().__init__()
        self.paper = paper
        self.others = dict(others or {})
        self.model, self.output = model, output
        self.errors: dict[str, float] = {}
        self._keys = BatchKeys(inputs, labels)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Refuse what could not be measured at the end, and download data that is missing."""
        loader = _loader(trainer)
        self.error_on(trainer, pl_module, loader.inputs[:2], loader.labels[:2])
        for data in self.others.values():
            data.prepare_data()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measure, log and print."""
        loader = _loader(trainer)
        parts = {"train/error": (loader.inputs, loader.labels)}
        for name, data in self.others.items():
            part, _ = data.load_training()
            parts[f"train/error_{name}"] = part.inputs, part.labels
        self.errors = {k: self.error_on(trainer, pl_module, *one) for k, one in parts.items()}
        if trainer.is_global_zero:
            for logger in trainer.loggers:
                when = When.at_end(trainer)
                row = {**self.errors, "epoch": when.epoch}
                attempt(logger, logger.log_metrics, row, step=when.logged)
            self._print(trainer)

    def error_on(
        self, trainer: Trainer, pl_module: LightningModule, inputs: Tensor, labels: Tensor
    ) -> float:
        """Return the fraction of examples that the module, in evaluation mode, misclassifies.

        Args:
            trainer: Gives the precision.
            pl_module: The host.
            inputs: `(N, *S)`, on any device.
            labels: `(N,)`.

        Returns:
            The fraction; NaN where no label is a class.

        Raises:
            UserError: If its model gives no logits `(N, C)`.
        """
        host = LogitsModel(logits_model(pl_module, self.model), "TrainingError", self.output)
        model, wrong, count = in_precision(host, trainer.precision_plugin), 0, 0
        with (
            own_randomness(0),
            muted(pl_module),
            preserved(pl_module),
            eager(pl_module),
            torch.no_grad(),
        ):
            for start in range(0, len(labels), CHUNK):
                chunk = inputs[start : start + CHUNK], labels[start : start + CHUNK]
                batch = on_device(trainer, pl_module, chunk, as_in_validation=True)
                keys = self._keys.resolve(batch)
                host.name_inputs(name_of(keys.inputs))
                x, y = keys.read(batch)
                logits = model(x)
                if logits.ndim != 2:
                    raise UserError(
                        f"TrainingError: the model gave {tuple(logits.shape)}, not logits of "
                        "examples and classes. Name the submodule by model=<name>, or where its "
                        "output holds them by output=<key or index>"
                    )
                known = is_class(y, logits.shape[1])
                wrong += int((logits.argmax(1) != y)[known].sum())
                count += int(known.sum())
        return wrong / count if count else math.nan

    def _print(self, trainer: Trainer) -> None:
        beside = f" (paper: {self.paper})" if self.paper else ""
        own, *others = self.errors.values()
        trainer.print(f"training error {own:.2%}{beside}")
        for name, error in zip(self.others, others, strict=True):
            trainer.print(f"error on {name} {error:.2%}")


def _loader(trainer: Trainer) -> TensorLoader:
    loader = trainer.train_dataloader
    if not isinstance(loader, TensorLoader):
        raise UserError(
            "the training error is measured on examples in memory, not on a "
            f"{type(loader).__name__}: use lit_intriguing.data.TensorLoader, or leave "
            "TrainingError out"
        )
    return loader
