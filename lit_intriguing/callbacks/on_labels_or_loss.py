"""A measurement with class labels where a host has them, of the host's own loss where not."""

from abc import ABC
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor, nn

from lit_intriguing.attacks import Attack, BoxLBFGS, Goal, HostLoss, RandomTargets
from lit_intriguing.callbacks.on_fixed_examples import OnFixedExamples
from lit_intriguing.errors import UserError
from lit_intriguing.hosts.batch import BatchError
from lit_intriguing.hosts.class_labels import Verdict, class_labels, has_soft_labels
from lit_intriguing.hosts.host_rows import HostRows
from lit_intriguing.hosts.loss_change import LossChange, change_of_loss, usual_attack
from lit_intriguing.hosts.manual_step import step_loss
from lit_intriguing.hosts.paths import PathError, follow, from_front
from lit_intriguing.hosts.pixels import PixelWatch, label_map
from lit_intriguing.hosts.precision import in_precision
from lit_intriguing.hosts.rows_loss import RowsLoss
from lit_intriguing.hosts.whole_rows import ITSELF
from lit_intriguing.splice import INPUT
from lit_intriguing.types import UNBOUNDED, Bounds


class OnLabelsOrLoss(OnFixedExamples, ABC):
    """Attacks fixed examples toward a goal of class labels, or ascends the host's own loss.

    The examples are inputs and labels `(N,)` where the batch has these, the model gives logits
    `(N, C)` of them and the loss depends on the labels; else whole rows of a batch. What was chosen
    is said once. A goal that is given is kept.

    Args:
        attack: Makes the adversarial examples; None for `BoxLBFGS`, without class labels for
            `lit_intriguing.hosts.loss_change.usual_attack`.
        goal: What they are to reach; None to choose.
        bounds: The box of what is attacked; None for the usual one.
        layer: Name of the submodule whose output is attacked; empty for the input.
        options: Of `OnFixedExamples`.
    """

    def __init__(
        self,
        attack: Attack | None,
        goal: Goal | None,
        bounds: Bounds | None,
        layer: str,
        *options: Any,
    ) -> None:
        super().__init__(*options)
        self.attack = BoxLBFGS() if attack is None else attack
        self.goal, self.bounds, self.layer = goal, bounds, layer
        self._ascends: Attack | None = attack
        self._training: list[nn.Module] | None = None
        self._reason, self._classes, self._said = "", 0, False

    def has_classes(self, trainer: Trainer, pl_module: LightningModule, batch: Any) -> bool | None:
        """Return whether class labels are what is measured; None if the step takes no such batch.

        Raises:
            UserError: If they are asked for and there are none, or the attack searches for a border
                and there is none.
        """
        verdict = Verdict(f"its goal is {self.goal}")
        if not isinstance(self.goal, HostLoss):
            verdict = self._verdict(trainer, pl_module, batch)
        self._classes = verdict.classes
        doubtful = verdict.reason is None and not verdict.asked and self.goal is None
        return None if doubtful else self._choose(verdict.reason)

    def training_has_classes(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any
    ) -> bool:
        """Return whether class labels are what is measured, as a batch of the training shows."""
        try:
            reason = self._verdict(trainer, pl_module, batch).reason
        except BatchError as error:
            reason = f"no class labels were found: {error}"
        return self._choose(None if has_soft_labels(batch, self._classes) else reason)

    def _choose(self, reason: str | None) -> bool:
        who = type(self).__name__
        if reason is None:
            self._say(f"{who} uses class labels and logits, goal {self.goal or RandomTargets()}.")
            return True
        if self.goal is not None and not isinstance(self.goal, HostLoss):
            raise UserError(
                f"{who}: {self.goal} needs class labels and logits, and {reason.rstrip('.')}. To "
                "measure how the host's own loss changes leave the goal out, or give HostLoss()."
            )
        if self._ascends is not None:
            self._ascends.check_needs_no_border()
        self._reason = reason
        return False

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Note which modules train, for losses in a validation; measure if it is time."""
        if batch_idx == 0:
            self._training = [one for one in pl_module.modules() if one.training]
        super().on_train_batch_start(trainer, pl_module, batch, batch_idx)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Drop what belongs to the run."""
        self._training, self._said = None, False
        super().teardown(trainer, pl_module, stage)

    def loss_change(
        self, trainer: Trainer, pl_module: LightningModule, rows: HostRows, by_row: bool = True
    ) -> LossChange:
        """Attack rows of the host, and compare its losses, by row or together.

        Raises:
            UserError: If the host's training step does not take them, there is nothing to attack,
                or the loss has no gradient by it.
        """
        loss = self.rows_loss(trainer, pl_module, rows, self.layer)
        labels = label_map(rows, self._keys.labels)
        watch = None if labels is None else PixelWatch(labels, self.output)
        generator = torch.Generator().manual_seed(self.seed)
        with self.isolated(pl_module), loss.entered(), ExitStack() as stack:
            if watch is not None:
                stack.enter_context(watch.entered(pl_module, self.model))
            clean = loss.clean()
            box = self.box(clean, rows)
            attack = self._ascends or usual_attack(clean)
            self.say_rows(rows, attack, box)
            return change_of_loss(loss, clean, attack, box, generator, watch, by_row)

    @contextmanager
    def trying(self, pl_module: LightningModule, rows: HostRows) -> Iterator[None]:
        """Tell what fails inside as an error of the step that was called.

        Raises:
            UserError: If anything fails.
        """
        try:
            yield
        except (UserError, ValueError):
            raise
        except Exception as error:
            raise UserError(
                f"{type(self).__name__} called {type(pl_module).__name__}.training_step aside on "
                f"{rows.count} examples, and it failed: {type(error).__name__}: {error}"
            ) from error

    def say_rows(self, rows: HostRows, attack: Attack, box: Bounds) -> None:
        """Say once that losses are measured, why, and what is attacked."""
        self._say(
            f"{type(self).__name__} measures how the host's own loss changes, since "
            f"{_first_sentence(self._reason)}. Attacked: {self._attacked(rows)}, by {attack}, "
            f"within {box}. Where there are class labels and logits, say where: inputs=, "
            "labels=, model=, output=."
        )

    def rows_loss(
        self, trainer: Trainer, pl_module: LightningModule, rows: HostRows, layer: str = INPUT
    ) -> RowsLoss:
        """Return the loss of the run's host on some rows, as in a training step."""
        training = self._training if trainer.validating else None
        return RowsLoss(pl_module, trainer.precision_plugin, rows, layer, self.seed, training)

    def box(self, clean: Tensor, rows: HostRows) -> Bounds:
        """Return the bounds of what is attacked, `(M, *S)`.

        Where none are given those of pixels, if the inputs lie within [0, 1] or are bytes.
        """
        if self.bounds is not None:
            return self.bounds
        if self.layer != INPUT:
            return UNBOUNDED
        most = 1.0 if rows.is_floating_point() else 255.0
        inside = bool(((clean >= 0) & (clean <= most)).all())
        return Bounds(0.0, most) if inside else UNBOUNDED

    def _verdict(self, trainer: Trainer, pl_module: LightningModule, batch: Any) -> Verdict:
        try:
            keys = self._keys.resolve(batch)
        except BatchError as error:
            if self._names_what_is_missing(batch):
                raise
            return Verdict(f"no class labels were found: {error}")
        self._note_keys(keys)

        def model() -> nn.Module:
            return in_precision(self.logits_model(pl_module), trainer.precision_plugin)

        step = step_loss(pl_module, trainer.precision_plugin)
        strict = self.model is not None or self.output is not None
        with self.isolated(pl_module):
            return class_labels(batch, keys, model, step, strict)

    def _names_what_is_missing(self, batch: Any) -> bool:
        given = (self._keys.inputs, self._keys.labels)
        for place in given:
            if place is not None and not callable(place):
                try:
                    follow(batch, from_front(place, batch))
                except PathError:
                    return True
        return False

    def _attacked(self, rows: HostRows) -> str:
        if self.layer != INPUT:
            return f"the output of {self.layer!r}"
        return "the batch" if rows.inputs == ITSELF else f"entry {rows.inputs!r} of the batch"

    def _say(self, text: str) -> None:
        if not self._said:
            self._said = True
            rank_zero_info(text)


def _first_sentence(reason: str) -> str:
    """Return a reason without the advice that follows it."""
    first = reason.partition(". ")[0].rstrip(".")
    if len(first) < _LONG:
        return first
    # Whole clauses, or else whole words.
    clauses, _, rest = first[:_LONG].rpartition("; ")
    return clauses or f"{rest.rpartition(' ')[0]} ..."


_LONG = 260
"""Characters of a reason."""
