"""Transfer between hosts without class labels: whose examples raise whose loss."""

import functools
from abc import ABC
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.plugins.precision import Precision
from matplotlib.figure import Figure
from torch import Tensor, nn

from lit_intriguing.attacks.example_sets import ExampleSet
from lit_intriguing.callbacks.loss_transfer import (
    LossTransfer,
    attached,
    check_reference,
    loss_transfer,
    transfer_table,
)
from lit_intriguing.callbacks.measuring import is_trial
from lit_intriguing.callbacks.on_labels_or_loss import OnLabelsOrLoss
from lit_intriguing.errors import UserError
from lit_intriguing.figures.transfer import transfer_figure
from lit_intriguing.hosts.host_rows import HostRows
from lit_intriguing.hosts.loss_change import ascend, usual_attack
from lit_intriguing.hosts.rows_loss import RowsLoss
from lit_intriguing.loggers.destinations import destinations
from lit_intriguing.loggers.table import Table
from lit_intriguing.loggers.when import When

CURRENT = "current"
"""The network in training, in tables."""


@dataclass(frozen=True)
class Past:
    """The adversarial examples made for an earlier state, on the CPU."""

    step: int
    images: Tensor
    counted: Tensor
    distortion: Tensor

    @classmethod
    def of(cls, step: int, made: ExampleSet) -> "Past":
        """Return the examples made at a step."""
        return cls(step, made.images.cpu(), made.counted.cpu(), made.distortion.cpu())

    def on(self, device: torch.device) -> ExampleSet:
        """Return them on a device."""
        images, counted, distortion = (
            one.to(device) for one in (self.images, self.counted, self.distortion)
        )
        return ExampleSet(images, counted, distortion)


class TransferOfLosses(OnLabelsOrLoss, ABC):
    """The part of `TransferEvaluation` for hosts without class labels.

    Args:
        references: Name to network.
        earlier: How many measurements back an earlier state is; 0 for none.
        options: Of `OnLabelsOrLoss`.
    """

    def __init__(
        self, references: Mapping[str, nn.Module] | None, earlier: int, *options: Any
    ) -> None:
        super().__init__(*options)
        self.references, self.earlier = dict(references or {}), earlier
        self._theirs: dict[str, ExampleSet | None] = {}
        self._past: list[Past] = []

    def try_losses(self, trainer: Trainer, pl_module: LightningModule, rows: HostRows) -> None:
        """Compute everything once.

        Raises:
            UserError: If a host does not take the rows, or has no loss.
        """
        for name, reference in self.references.items():
            check_reference(name, reference)
        with self.trying(pl_module, rows):
            self._transfer_losses(trainer, pl_module, rows)
        self._theirs = {}

    def measure_losses(
        self, trainer: Trainer, pl_module: LightningModule, rows: HostRows, when: When
    ) -> None:
        """Make adversarial examples, compute the losses of all hosts, and report them."""
        transfer, sets = self._transfer_losses(trainer, pl_module, rows)
        if trainer.is_global_zero:
            self._report_losses(trainer, sets, transfer, when)
        own = sets[f"for {CURRENT}"]
        self._past = [*self._past, Past.of(when.steps, own)][-max(self.earlier, 1) :]

    def _transfer_losses(
        self, trainer: Trainer, pl_module: LightningModule, rows: HostRows
    ) -> tuple[LossTransfer, dict[str, ExampleSet]]:
        """Return the losses of all hosts on all sets of adversarial examples, and the sets."""
        hosts = {CURRENT: self.rows_loss(trainer, pl_module, rows)}
        with self.isolated(pl_module), ExitStack() as stack:
            for name, one in self.references.items():
                host = check_reference(name, one.to(pl_module.device))
                stack.enter_context(attached(host, trainer))
                own = rows.in_precision_of(host)
                hosts[name] = RowsLoss(host, Precision(), own, seed=self.seed)
            sets = {f"for {CURRENT}": self._ascend(hosts[CURRENT])}
            for name in self.references:
                # Its weights stay: made once.
                made = self._theirs.get(name) or self._ascend_reference(name, hosts[name])
                self._theirs[name] = sets[f"for {name}"] = made
            like = sets[f"for {CURRENT}"].images
            for past in self._past:
                if past.images.shape == like.shape:
                    sets[f"for step {past.step}"] = past.on(like.device)
            tensors = {title: one.images for title, one in sets.items()}
            own_sets = {name: f"for {name}" for name in hosts}
            return loss_transfer(hosts, tensors, own_sets), sets

    def _ascend(self, loss: RowsLoss) -> ExampleSet:
        with loss.entered():
            clean = loss.clean()
            attack, box = self._ascends or usual_attack(clean), self.box(clean, loss.rows)
            self.say_rows(loss.rows, attack, box)
            made = ascend(loss, clean, attack, box, torch.Generator().manual_seed(self.seed))
        counted = torch.ones(len(clean), dtype=torch.bool, device=clean.device)
        return ExampleSet(made.adversarial, counted, made.distortion)

    def _ascend_reference(self, name: str, loss: RowsLoss) -> ExampleSet:
        try:
            return self._ascend(loss)
        except Exception as error:
            raise UserError(
                f"TransferEvaluation: the training_step of the reference {name!r} does not take "
                f"the run's batches: {type(error).__name__}: {error}"
            ) from error

    def _report_losses(
        self,
        trainer: Trainer,
        sets: Mapping[str, ExampleSet],
        transfer: LossTransfer,
        when: When,
    ) -> None:
        titles, hosts = list(sets), [CURRENT, *self.references]
        shares = transfer.shares()
        values = {
            "loss_clean": float(transfer.clean[0]),
            "loss": float(transfer.losses[0, 0]),
            "distortion": float(sets[titles[0]].distortion.double().mean()),
        }
        for column, name in enumerate(self.references, 1):
            values[f"to/{name}"] = float(shares[0, column])
            values[f"from/{name}"] = float(shares[titles.index(f"for {name}"), 0])
        if self.earlier and len(titles) > len(hosts):
            values["from/earlier"] = float(shares[len(hosts), 0])
        self.note(values)
        if is_trial(trainer):
            return
        moved = {title: one.distortion for title, one in sets.items()}
        table = Table(*transfer_table(transfer, hosts, moved))
        figure = functools.partial(
            transfer_figure, 100 * shares, titles, hosts, title=str(when),
            label="increase of the column's loss by the row's examples, % of that by its own",
        )  # fmt: skip
        self.draw(trainer, functools.partial(self.hand_over, trainer, table, figure, when))

    def hand_over(
        self, trainer: Trainer, table: Table, figure: Callable[[], Figure], when: When
    ) -> None:
        """Send the table and the heat map to files and loggers."""
        drawn = figure()
        for destination in destinations(trainer.loggers, self.folder(trainer)):
            destination.table(self.name, table, when)
            destination.figure(self.name, drawn, when)
