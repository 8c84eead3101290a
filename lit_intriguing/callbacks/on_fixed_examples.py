"""A measurement of a fixed few rows, made again and again while a network trains."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer

from lit_intriguing.callbacks.measuring import Measuring, is_trial
from lit_intriguing.errors import UserError
from lit_intriguing.hosts.batch import BatchKeys, Key
from lit_intriguing.hosts.fixed_examples import Rows, pick, read_examples, readable
from lit_intriguing.private.of_lightning import optimizer_steps


class OnFixedExamples(Measuring, ABC):
    """Chooses rows, knows when it is time, and leaves no trace on the run.

    A subclass says what is tried out at the start (`try_out`), what is measured (`measure`) and
    what it remembers (`memory`, `remember`, `last_step`, `forget`). What fails in `try_out` ends
    the run, what fails in `measure` costs one warning.

    Args:
        name: Of the scalars, figures and files.
        every_n_epochs: Epochs from one time to the next.
        every_n_steps: Optimiser steps from one time to the next, in place of epochs.
        examples: Rows, fewer where the data or the batch has fewer.
        dirpath: Folder in place of the run's own.
        inputs: Key or position of the inputs in a batch; found where there is no doubt.
        labels: Key or position of the labels, likewise.
        seed: Of the choice of rows.

    Raises:
        ValueError: For a number out of range.
    """

    def __init__(
        self,
        name: str,
        every_n_epochs: int,
        every_n_steps: int | None,
        examples: int,
        dirpath: str | Path | None,
        inputs: Key | None,
        labels: Key | None,
        seed: int,
    ) -> None:
        super().__init__(name, dirpath, seed)
        self.check_at_least_one(
            every_n_epochs=every_n_epochs, every_n_steps=every_n_steps, examples=examples
        )
        self.examples = examples
        self.every_n_epochs, self.every_n_steps = every_n_epochs, every_n_steps
        self._keys = BatchKeys(inputs, labels)
        self._rows: Rows | None = None
        self._seen: Rows | None = None
        self._restored: Mapping[str, Any] | None = None

    @abstractmethod
    def try_out(self, trainer: Trainer, pl_module: LightningModule, rows: Rows) -> None:
        """See whether all works, on a few of the rows: what fails is to fail now."""

    @abstractmethod
    def measure(self, trainer: Trainer, pl_module: LightningModule, rows: Rows) -> None:
        """Measure, on every process alike, and report on the first."""

    @property
    @abstractmethod
    def last_step(self) -> int:
        """Optimiser steps taken when it was last measured; 0 before."""

    @abstractmethod
    def memory(self) -> dict[str, Any]:
        """What a checkpoint keeps beside the rows; plain values and tensors."""

    @abstractmethod
    def remember(self, state: Mapping[str, Any]) -> None:
        """Take over what `memory` gave, tensors on the CPU."""

    @abstractmethod
    def forget(self) -> None:
        """Begin a new history."""

    def on_validation_batch_start(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep rows of the sanity check's first batch where they cannot be read otherwise."""
        first = batch_idx == dataloader_idx == 0
        if first and trainer.sanity_checking and not readable(trainer):
            self._seen = pick(batch, self._keys, self.examples)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Choose the rows, or take over those of a checkpoint, and see whether all works.

        Raises:
            BatchError: For a batch in which inputs and labels cannot be told.
            UserError: For inputs outside the bounds, or an attack that fails.
        """
        if trainer.global_step == 0:
            self._rows, self._warned = None, set()
            self.forget()
        self._take_over(pl_module)
        if self._rows is not None:
            return
        if readable(trainer):
            rows = read_examples(trainer, pl_module, self._keys, self.examples, self.seed)
            self._begin(trainer, pl_module, rows)
        else:
            seen, self._seen = _from_rank_zero(trainer, self._seen), None
            if seen is not None:
                self._begin(trainer, pl_module, seen)

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Measure if it is time: the weights that the last step left.

        At the end of that step other callbacks may not have taken their hooks away yet.
        """
        if self._rows is None:
            rows = _from_rank_zero(trainer, pick(batch, self._keys, self.examples))
            assert rows is not None
            self._begin(trainer, pl_module, rows)
        if self._step_is_due(trainer):
            self._measure(trainer, pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measure if it is time."""
        if self.every_n_steps is not None and not is_trial(trainer):
            due = self._step_is_due(trainer)
        else:
            due = is_trial(trainer) or ((trainer.current_epoch + 1) % self.every_n_epochs == 0)
        if due and self._rows is not None:
            self._measure(trainer, pl_module)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Let go of the state that an evaluation's checkpoint brought."""
        self._restored = self._seen = None

    def state_dict(self) -> dict[str, Any]:
        """Return the rows and what was measured so far; the same on all ranks."""
        rows = None if self._rows is None else tuple(tensor.cpu() for tensor in self._rows)
        return {"rows": rows, **self.memory()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keep the state until the device is known."""
        self._restored = state_dict

    def _take_over(self, pl_module: LightningModule) -> None:
        state, self._restored = self._restored, None
        if state is None:
            return
        self.remember(state)
        # Another number of examples than before: chosen anew.
        if state["rows"] is not None and len(state["rows"][1]) == self.examples:
            inputs, labels = (tensor.to(pl_module.device) for tensor in state["rows"])
            self._rows = inputs, labels

    def _begin(self, trainer: Trainer, pl_module: LightningModule, rows: Rows) -> None:
        """Take the rows, if all works with them."""
        inputs, labels = (tensor.to(pl_module.device) for tensor in rows)
        try:
            self.try_out(trainer, pl_module, (inputs, labels))
        except UserError:
            raise
        except ValueError as error:
            raise UserError(f"{type(self).__name__}: {error}") from error
        self._rows = inputs, labels

    def _step_is_due(self, trainer: Trainer) -> bool:
        if self.every_n_steps is None:
            return False
        step = optimizer_steps(trainer)
        return step != self.last_step and step % self.every_n_steps == 0

    def _measure(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert self._rows is not None
        try:
            self.measure(trainer, pl_module, self._rows)
        except Exception as error:
            # Measuring never loses a run.
            self.warn_once(
                "failure",
                f"{type(self).__name__} made no examples after {optimizer_steps(trainer)} steps: "
                f"{type(error).__name__}: {error}. Training goes on; later failures are not told.",
            )


def _from_rank_zero(trainer: Trainer, rows: Rows | None) -> Rows | None:
    """The rows that the first process saw; every process must call it."""
    if trainer.world_size == 1:
        return rows
    # A pickled tensor comes back on the device it was on.
    own = None if rows is None else tuple(tensor.cpu() for tensor in rows)
    return trainer.strategy.broadcast(own)  # type: ignore[return-value]
