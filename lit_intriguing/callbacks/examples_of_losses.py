"""Adversarial examples of hosts without class labels: how far their own loss changes."""

from abc import ABC
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from lit_intriguing.callbacks.loss_reports import (
    change_figure,
    change_table,
    loss_moment,
    token_table,
)
from lit_intriguing.callbacks.measuring import is_trial
from lit_intriguing.callbacks.on_labels_or_loss import OnLabelsOrLoss
from lit_intriguing.figures.loggers import Files, destinations
from lit_intriguing.figures.loss_change import LossMoment
from lit_intriguing.hosts.host_rows import HostRows
from lit_intriguing.hosts.tokens import embedding, words_of
from lit_intriguing.private.of_lightning import optimizer_steps
from lit_intriguing.splice import INPUT
from lit_intriguing.whole_files import draft


class ExamplesOfLosses(OnLabelsOrLoss, ABC):
    """The part of `AdversarialExamples` for hosts without class labels.

    Args:
        magnify: Factor on the differences in the figure; None to choose it.
        options: Of `OnLabelsOrLoss`.
    """

    def __init__(self, magnify: float | None, *options: Any) -> None:
        super().__init__(*options)
        self.magnify = magnify
        self._losses: list[LossMoment] = []

    def measure_losses(self, trainer: Trainer, pl_module: LightningModule, rows: HostRows) -> None:
        """Make adversarial examples, compare the losses, and report them."""
        change = self.loss_change(trainer, pl_module, rows)
        values = change.scalars()
        self._losses.append(loss_moment(optimizer_steps(trainer), values))
        if not trainer.is_global_zero:
            return
        step = self._losses[-1].step
        self.log_scalars(trainer, values, step)
        if is_trial(trainer):
            return
        columns = change.columns()
        folder = self.save(trainer, columns, step)
        when = f"step {step:,}, epoch {trainer.current_epoch}"
        figure = change_figure(
            columns,
            self._losses,
            images=self.layer == INPUT,
            bounds=self.box(change.clean, rows),
            magnify=self.magnify,
            title=f"{self.where()}{when}: loss {values['loss_clean']:.3g} → {values['loss']:.3g}",
        )
        tables = {self.name: change_table(columns)}
        embeds = embedding(pl_module, self.layer)
        if embeds is not None and change.clean.ndim == 3:
            text = token_table(change, embeds.weight, words_of(trainer, pl_module))
            tables[f"{self.name}/tokens"] = text
        for destination in destinations(trainer.loggers, folder):
            for name, table in tables.items():
                destination.table(name, *table, step)
            destination.figure(self.name, figure, step)

    def where(self) -> str:
        """Return what of the network is attacked, for titles."""
        return f"output of {self.layer}, " if self.layer else ""

    def save(self, trainer: Trainer, columns: Mapping[str, Tensor], step: int) -> Path:
        """Write the columns into the run's folder and return it; on the first process only."""
        folder = self.folder(trainer)
        content = {**columns, "step": step, "epoch": trainer.current_epoch}
        with draft(Files(folder).path(self.name, step, ".pt")) as file:
            torch.save(content, file)
        return folder
