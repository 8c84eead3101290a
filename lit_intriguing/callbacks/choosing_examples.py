"""The choice of a fixed few examples of a run: inputs and class labels, or whole rows."""

import functools
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn

from lit_intriguing.autograd import preserved, quantised_layers
from lit_intriguing.callbacks.measuring import Measuring
from lit_intriguing.errors import UserError
from lit_intriguing.hosts.batch import BatchKeys, name_of
from lit_intriguing.hosts.fixed_examples import (
    FixedExamples,
    Wanted,
    pick,
    read_batch,
    readable,
    validates,
)
from lit_intriguing.hosts.host_rows import HostRows
from lit_intriguing.hosts.logits import LogitsModel, Output, logits_model
from lit_intriguing.hosts.precision import in_precision


class ChoosingExamples(Measuring, ABC):
    """A callback that measures and chooses its examples, tried out before they are taken.

    Args:
        name: Name of the scalars, figures and files.
        dirpath: Folder in place of the run's own.
        seed: Seed of the choice of examples.
        examples: Number of examples; fewer if the data or the batch has fewer.
        keys: Where inputs and labels are in a batch.
        model: Name of the submodule that maps inputs to logits; None for the LightningModule.
        output: Where its output holds the logits; see `lit_intriguing.hosts.logits`.
        draw_every: Measurements from one that is drawn to the next; see `Drawing`.
    """

    def __init__(
        self,
        name: str,
        dirpath: str | Path | None,
        seed: int,
        examples: int,
        keys: BatchKeys,
        model: str | None,
        output: Output | None,
        draw_every: int | None = None,
    ) -> None:
        super().__init__(name, dirpath, seed, draw_every)
        self.examples, self.model, self.output = examples, model, output
        self._keys = keys
        self._input_name: str | None = None
        self._chosen: FixedExamples | HostRows | None = None
        self._seen: FixedExamples | HostRows | None = None
        self._doubtful: FixedExamples | None = None
        self._stored: Mapping[str, Any] | None = None

    def logits_model(self, pl_module: LightningModule) -> LogitsModel:
        """Return what maps inputs to class logits.

        Raises:
            UnknownLayerError: For an unknown name.
            UserError: If there is no name and the module has no `forward`.
        """
        return self.as_logits_model(logits_model(pl_module, self.model))

    def as_logits_model(self, model: nn.Module) -> LogitsModel:
        """Return a module that takes the host's inputs as a function to class logits."""
        found = LogitsModel(model, type(self).__name__, self.output)
        found.name_inputs(self._input_name)
        return found

    @abstractmethod
    def try_out(self, trainer: Trainer, pl_module: LightningModule, examples: Any) -> None:
        """Try everything on a few of the examples, so that errors come at the start.

        They are inputs and labels, or `HostRows` where `has_classes` says so.
        """

    def has_classes(self, trainer: Trainer, pl_module: LightningModule, batch: Any) -> bool | None:
        """Return whether class labels are what is measured; a subclass may have another way.

        Where it is not so, `try_out` and `measure` get whole rows of the host's batches. None where
        a batch of the training is to tell.
        """
        return True

    def training_has_classes(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any
    ) -> bool:
        """Return the same as a batch of the training tells it."""
        return True

    def rows_of(self, batch: Any, most: int | None = None) -> HostRows:
        """Return whole rows of a batch, where these are measured."""
        try:
            return HostRows.of(batch, self._keys.inputs, most)
        except UserError as error:
            self._name_in(error)
            raise

    def _name_in(self, error: UserError) -> None:
        """Put the callback's name before what was told below, where it is not known for whom."""
        who = type(self).__name__
        if who not in str(error):
            error.args = (f"{who}: {error}", *error.args[1:])

    def classes(self, trainer: Trainer, pl_module: LightningModule, inputs: Tensor) -> int | None:
        """Return the number of classes of the host's network, from its logits for inputs.

        Raises:
            UserError: If its model cannot be called with them.
        """
        model = in_precision(self.logits_model(pl_module), trainer.precision_plugin)
        with self.isolated(pl_module), preserved(model), torch.no_grad():
            logits = model(inputs)
        # Others are refused by `try_out`.
        return logits.shape[1] if logits.ndim == 2 and len(logits) == len(inputs) else None

    def take(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any
    ) -> FixedExamples | HostRows:
        """Return examples of the first batch of the training, or those that waited for it."""
        if self._doubtful is not None:
            if self.training_has_classes(trainer, pl_module, batch):
                return self._doubtful
        elif self.has_classes(trainer, pl_module, batch) is not False:
            return self._pick(trainer, pl_module, batch)
        return self.rows_of(batch, self.examples)

    def take_seen(self, trainer: Trainer, pl_module: LightningModule, batch: Any) -> None:
        """Take examples of a batch of the validation, if that can be done."""
        classes = self.has_classes(trainer, pl_module, batch)
        if classes:
            self._seen = self._pick(trainer, pl_module, batch)
        elif classes is None:
            self._doubtful = self._pick(trainer, pl_module, batch)
        else:
            with suppress(UserError):
                self._seen = self.rows_of(batch, self.examples)

    def _pick(self, trainer: Trainer, pl_module: LightningModule, batch: Any) -> FixedExamples:
        classes = functools.partial(self.classes, trainer, pl_module)
        who = type(self).__name__
        return pick(batch, Wanted(who, self.examples, self._keys, self._note_keys, classes))

    def read(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take examples of the data, unless only a batch of the training will do."""
        batch = read_batch(trainer, pl_module, 4 * self.examples, self.seed)
        classes = self.has_classes(trainer, pl_module, batch)
        if classes is None and not readable(trainer, training=True):
            self._doubtful = self._pick(trainer, pl_module, batch)
            return
        if classes is None and validates(trainer):
            trained = read_batch(trainer, pl_module, self.examples, self.seed, training=True)
            classes = self.training_has_classes(trainer, pl_module, trained)
        if classes is not False:
            self.begin(trainer, pl_module, self._pick(trainer, pl_module, batch))
            return
        # Validation may have batches of another kind than training.
        for training in (False, True) if validates(trainer) else (False,):
            if self._chosen is None and readable(trainer, training):
                batch = read_batch(trainer, pl_module, self.examples, self.seed, training)
                with suppress(UserError):
                    rows = self.rows_of(batch)
                    self.begin(trainer, pl_module, rows)

    def begin(
        self, trainer: Trainer, pl_module: LightningModule, examples: FixedExamples | HostRows
    ) -> None:
        """Take the examples, after everything was tried out on them."""
        device = pl_module.device
        if isinstance(examples, HostRows):
            examples = self._as_stored(examples).to(device)
        else:
            examples = examples[0].to(device), examples[1].to(device)
            self._check_labels(examples[1])
        self.tried(trainer, pl_module, examples)
        self._chosen, self._stored = examples, None

    def tried(self, trainer: Trainer, pl_module: LightningModule, examples: Any) -> None:
        """Try everything out on the examples, and say of a failure who failed.

        Raises:
            UserError: If anything fails.
        """
        try:
            self.try_out(trainer, pl_module, examples)
        except (UserError, ValueError) as error:
            rounded = quantised_layers(pl_module)
            if "no gradient" in str(error) and rounded:
                raise UserError(
                    f"{type(self).__name__}: {rounded[0]} is quantised, and what is rounded has no "
                    "gradient for an attack: quantise after training, or let AdversarialExamples "
                    "attack the output of a layer behind it, by layer=<name>"
                ) from error
            if isinstance(error, UserError):
                self._name_in(error)
                raise
            raise UserError(f"{type(self).__name__}: {error}") from error

    def _check_labels(self, labels: Tensor) -> None:
        if not len(labels):
            raise UserError(
                f"{type(self).__name__}: none of the examples from which to choose has a label "
                "that is a class (losses ignore such as -1 or 255): say where the class labels are "
                "by labels=<key or position>, or have more examples to choose from, by a larger "
                "examples= or, of a stream, a larger first batch"
            )

    def _as_stored(self, rows: HostRows) -> HostRows:
        """Return the rows of a checkpoint, if it holds some, put into a batch of this kind."""
        if self._stored is None or self._stored["count"] != rows.count:
            return rows
        return rows.with_stored(self._stored["entries"])

    def _note_keys(self, keys: BatchKeys) -> None:
        self._input_name = name_of(keys.inputs)
