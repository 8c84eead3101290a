"""Adversarial examples of hosts without class labels: how far their own loss changes."""

import functools
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
from lit_intriguing.figures.examples import as_pixels, drawn_as_images
from lit_intriguing.figures.loss_change import LossMoment
from lit_intriguing.hosts.host_rows import HostRows
from lit_intriguing.hosts.loss_change import LossChange
from lit_intriguing.hosts.tokens import embedding, words_of
from lit_intriguing.loggers.destinations import Files, destinations
from lit_intriguing.loggers.pictures import pictures
from lit_intriguing.loggers.table import Table
from lit_intriguing.loggers.when import When
from lit_intriguing.splice import INPUT
from lit_intriguing.types import Bounds
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

    def measure_losses(
        self, trainer: Trainer, pl_module: LightningModule, rows: HostRows, when: When
    ) -> None:
        """Make adversarial examples, compare the losses, and report them."""
        change = self.loss_change(trainer, pl_module, rows)
        values = change.scalars()
        self._losses.append(loss_moment(when.steps, values))
        if not trainer.is_global_zero:
            return
        self.note(values)
        if is_trial(trainer):
            return
        bounds = self.box(change.clean, rows)
        tables = {self.name: self._table(change, bounds)}
        embeds = embedding(pl_module, self.layer)
        if embeds is not None and change.clean.ndim == 3:
            text = token_table(change, embeds.weight, words_of(trainer, pl_module))
            tables[f"{self.name}/tokens"] = Table(*text)
        draw = functools.partial(self._hand_over_losses, trainer, change, tables, bounds, when)
        self.draw(trainer, draw)

    def _table(self, change: LossChange, bounds: Bounds) -> Table:
        images, pair = {}, (change.clean.float().cpu(), change.adversarial.float().cpu())
        if self.layer == INPUT and drawn_as_images(change.clean.shape):
            images = pictures(*as_pixels(*pair, bounds), self.magnify)
        return Table(*change_table(change.columns()), images)

    def _hand_over_losses(
        self,
        trainer: Trainer,
        change: LossChange,
        tables: Mapping[str, Table],
        bounds: Bounds,
        when: When,
    ) -> None:
        """Send the examples of the last measurement to files and loggers."""
        columns, values = change.columns(), change.scalars()
        folder = self.save(columns, trainer, when)
        figure = change_figure(
            columns,
            self._losses,
            images=self.layer == INPUT,
            bounds=bounds,
            magnify=self.magnify,
            title=f"{self.where()}{when}: loss {values['loss_clean']:.3g} → {values['loss']:.3g}",
        )
        for destination in destinations(trainer.loggers, folder):
            for name, table in tables.items():
                destination.table(name, table, when)
            destination.figure(self.name, figure, when)

    def where(self) -> str:
        """Return what of the network is attacked, for titles."""
        return f"output of {self.layer}, " if self.layer else ""

    def save(self, columns: Mapping[str, Tensor], trainer: Trainer, when: When) -> Path:
        """Write the columns into the run's folder and return it; on the first process only."""
        folder = self.folder(trainer)
        content = {**columns, "step": when.steps, "epoch": when.epoch}
        with draft(Files(folder).path(self.name, when, ".pt")) as file:
            torch.save(content, file)
        return folder
