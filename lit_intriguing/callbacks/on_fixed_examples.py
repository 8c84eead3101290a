"""A measurement on a fixed few examples, repeated while a network trains."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any, ClassVar

from lightning.pytorch import LightningModule, Trainer

from lit_intriguing.callbacks.choosing_examples import ChoosingExamples
from lit_intriguing.callbacks.intervals import MOST, epoch_is_due, turn
from lit_intriguing.callbacks.measuring import is_trial
from lit_intriguing.errors import UserError
from lit_intriguing.hosts.batch import BatchKeys, Place
from lit_intriguing.hosts.fixed_examples import (
    from_rank_zero,
    readable,
)
from lit_intriguing.hosts.host_rows import HostRows
from lit_intriguing.hosts.logits import Output
from lit_intriguing.loggers.when import When
from lit_intriguing.private.of_lightning import optimizer_steps


class OnFixedExamples(ChoosingExamples, ABC):
    """A callback that chooses examples and measures them regularly, without changing the run.

    A subclass defines what is tried out at the start (`try_out`), what is measured (`measure`) and
    what a checkpoint stores (`memory`, `load_memory`, `last_step`, `clear_memory`). An error in
    `try_out` ends the run, an error in `measure` gives one warning.

    Args:
        name: Name of the scalars, figures and files.
        every_n_epochs: Epochs from one measurement to the next; None for at most 40 in a run, the
            first epoch and the last among them.
        every_n_steps: Optimiser steps from one measurement to the next, in place of epochs.
        examples: Number of examples; fewer if the data or the batch has fewer.
        dirpath: Folder in place of the run's own.
        inputs: Key, field or position of the inputs in a batch, a path of these (`d.0`), or a
            function of the batch; found if there is no doubt.
        labels: Where the labels are, likewise.
        seed: Seed of the choice of examples.
        model: Name of the submodule that maps inputs to logits; None for the LightningModule.
        output: Where its output holds the logits; see `lit_intriguing.hosts.logits`.
        draw_every: Measurements from one that is drawn to the next; see `Drawing`.

    Raises:
        ValueError: For a number out of range.
    """

    most: ClassVar[int] = MOST
    """Measurements of a run, about, where nothing else was asked for."""

    def __init__(
        self,
        name: str,
        every_n_epochs: int | None,
        every_n_steps: int | None,
        examples: int,
        dirpath: str | Path | None,
        inputs: Place | None,
        labels: Place | None,
        seed: int,
        model: str | None = None,
        output: Output | None = None,
        draw_every: int | None = None,
    ) -> None:
        keys = BatchKeys(inputs, labels)
        super().__init__(name, dirpath, seed, examples, keys, model, output, draw_every)
        self.check_at_least_one(
            every_n_epochs=every_n_epochs, every_n_steps=every_n_steps, examples=examples
        )
        self.every_n_epochs, self.every_n_steps = every_n_epochs, every_n_steps
        self._restored: Mapping[str, Any] | None = None

    @abstractmethod
    def measure(
        self, trainer: Trainer, pl_module: LightningModule, examples: Any, when: When
    ) -> None:
        """Measure, on every process alike, and report on the first.

        Args:
            trainer: Runs.
            pl_module: The host.
            examples: What `try_out` got.
            when: The moment.
        """

    @property
    @abstractmethod
    def last_step(self) -> int:
        """Optimiser steps taken at the last measurement; 0 before the first."""

    @abstractmethod
    def memory(self) -> dict[str, Any]:
        """Return what a checkpoint stores beside the examples; plain values and tensors."""

    @abstractmethod
    def load_memory(self, state: Mapping[str, Any]) -> None:
        """Load what `memory` returned, tensors on the CPU."""

    @abstractmethod
    def clear_memory(self) -> None:
        """Begin a new history."""

    def on_validation_batch_start(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Take examples of the sanity check's first batch if they cannot be read otherwise."""
        first = batch_idx == dataloader_idx == 0
        if first and trainer.sanity_checking and not readable(trainer):
            self.take_seen(trainer, pl_module, batch)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Choose the examples, or load those of a checkpoint, and try everything out.

        Raises:
            BatchError: If the inputs and labels of a batch cannot be found.
            UserError: For inputs outside the bounds, or an attack that fails.
        """
        if trainer.global_step == 0:
            self._chosen, self._warned = None, set()
            self.clear_memory()
        self.drawing.clear()
        self._load_restored(pl_module)
        if self._chosen is not None:
            return
        if readable(trainer):
            self.read(trainer, pl_module)
        else:
            seen, self._seen = from_rank_zero(trainer, self._seen), None
            # Rows of a validation may be no batch of the training step.
            with suppress(UserError) if isinstance(seen, HostRows) else nullcontext():
                if seen is not None:
                    self.begin(trainer, pl_module, seen)

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Measure if it is time: the weights after the last step.

        At the end of that step other callbacks may not have removed their hooks yet.
        """
        if self._chosen is None:
            found = from_rank_zero(trainer, self.take(trainer, pl_module, batch))
            assert found is not None
            self._doubtful = None
            self.begin(trainer, pl_module, found)
        if self._step_is_due(trainer):
            self._measure(trainer, pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measure if it is time."""
        if self.every_n_steps is not None and not is_trial(trainer):
            due = self._step_is_due(trainer)
        else:
            due = is_trial(trainer) or epoch_is_due(trainer, self.every_n_epochs, self.most)
        if due and self._chosen is not None and not self.was_in_validation(trainer):
            self._measure(trainer, pl_module)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measure if a callback is going to look at it."""
        if self._chosen is not None and self.is_due_in_validation(trainer):
            self._measure(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measure an end that comes early, if nothing else was asked for; draw the last."""
        by_default = self.every_n_epochs is None and self.every_n_steps is None
        if by_default and self._chosen is not None and self.last_step != optimizer_steps(trainer):
            self._measure(trainer, pl_module, When.at_end(trainer))
        self.draw_last()

    def draw(self, trainer: Trainer, draw: Callable[[], None]) -> None:
        """Draw what was measured now if it is its turn, or at the end of the run."""
        number, total = turn(trainer, self.every_n_epochs, self.every_n_steps, self.most)
        self.drawing.offer(number, total, draw)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Drop the state that an evaluation's checkpoint brought."""
        self._restored = self._seen = self._doubtful = self._stored = None

    def state_dict(self) -> dict[str, Any]:
        """Return the examples and what was measured so far; the same on all ranks."""
        chosen = self._chosen
        if isinstance(chosen, HostRows):
            stored: Any = {"count": chosen.count, "entries": chosen.stored()}
        else:
            stored = None if chosen is None else tuple(tensor.cpu() for tensor in chosen)
        return {"rows": stored, "input_name": self._input_name, **self.memory()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Store the state until the device is known."""
        self._restored = state_dict

    def _load_restored(self, pl_module: LightningModule) -> None:
        state, self._restored = self._restored, None
        if state is None:
            return
        self.load_memory(state)
        self._input_name = state.get("input_name")
        if isinstance(state["rows"], dict):
            self._stored = state["rows"]
        # Another number of examples than before: chosen anew.
        elif state["rows"] is not None and len(state["rows"][1]) == self.examples:
            inputs, labels = (tensor.to(pl_module.device) for tensor in state["rows"])
            self._chosen = inputs, labels

    def _step_is_due(self, trainer: Trainer) -> bool:
        if self.every_n_steps is None:
            return False
        step = optimizer_steps(trainer)
        return step != self.last_step and step % self.every_n_steps == 0

    def _measure(
        self, trainer: Trainer, pl_module: LightningModule, when: When | None = None
    ) -> None:
        self.or_warn(
            lambda: self._measure_and_log(trainer, pl_module, when or When.now(trainer)),
            f"made no examples after {optimizer_steps(trainer)} steps",
        )
        self.tell(trainer)

    def _measure_and_log(self, trainer: Trainer, pl_module: LightningModule, when: When) -> None:
        assert self._chosen is not None
        with self.measured(trainer, when):
            self.measure(trainer, pl_module, self._chosen, when)
