"""Whether adversarial examples of one host raise the loss of another host of its kind."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn

from lit_intriguing.errors import UserError
from lit_intriguing.hosts.rows_loss import RowsLoss
from lit_intriguing.private.of_lightning import is_lightning_module, trainer_or_none
from lit_intriguing.tables import Cell


@dataclass(frozen=True)
class LossTransfer:
    """Losses of H hosts on S sets of examples.

    Attributes:
        clean: Of the clean examples, `(H,)`.
        losses: Of the sets, `(S, H)`.
        own: Which set was made for each host.
    """

    clean: Tensor
    losses: Tensor
    own: tuple[int, ...]

    def shares(self) -> Tensor:
        """Return each increase of a loss over that by the host's own examples, `(S, H)`.

        NaN for a host whose own examples do not raise its loss.
        """
        increases = self.losses - self.clean
        own = increases[list(self.own), range(len(self.own))]
        return torch.where(own > 0, increases / own, torch.nan)


def loss_transfer(
    hosts: Mapping[str, RowsLoss], sets: Mapping[str, Tensor], own: Mapping[str, str]
) -> LossTransfer:
    """Compute the losses of all hosts on all sets.

    Args:
        hosts: The losses, by the host's name.
        sets: Adversarial inputs `(N, *S)`, by the name of the set.
        own: Name of each host's own set.
    """
    clean, columns = [], []
    for loss in hosts.values():
        with loss.entered(), torch.no_grad():
            clean.append(loss.of(loss.clean()))
            columns.append(torch.stack([loss.of(one) for one in sets.values()]))
    numbers = {name: number for number, name in enumerate(sets)}
    found = (torch.stack([one.double().cpu() for one in each]) for each in (clean, columns))
    first, losses = found
    return LossTransfer(first, losses.T, tuple(numbers[own[name]] for name in hosts))


def check_reference(name: str, reference: nn.Module) -> LightningModule:
    """Return a reference whose own loss can be asked.

    Raises:
        UserError: If it has no training step of its own.
    """
    if not is_lightning_module(reference):
        raise UserError(
            f"TransferEvaluation: without class labels the reference {name!r} must be a "
            "LightningModule whose training_step takes the run's batches and returns a loss, not a "
            f"{type(reference).__name__}: give the whole module."
        )
    assert isinstance(reference, nn.Module)
    return reference  # type: ignore[return-value]


@contextmanager
def attached(reference: LightningModule, trainer: Trainer) -> Iterator[None]:
    """Let a reference's step ask the run's Trainer while inside; what it logs goes nowhere."""
    before = trainer_or_none(reference)
    reference.trainer = trainer
    try:
        yield
    finally:
        reference.trainer = before


def transfer_table(
    transfer: LossTransfer, hosts: list[str], distortions: Mapping[str, Tensor]
) -> tuple[list[str], list[list[Cell]]]:
    """Return headings and a row for each set: its size, shares in per cent, and losses."""
    headings = ["examples of", "examples", "distortion", *hosts, *(f"loss {one}" for one in hosts)]
    rows: list[list[Cell]] = []
    shares = (100 * transfer.shares()).tolist()
    for title, some, losses in zip(distortions, shares, transfer.losses.tolist(), strict=True):
        cells: list[Cell] = ["no increase" if one != one else one for one in some]
        moved = distortions[title].double()
        rows.append([title, len(moved), float(moved.mean()), *cells, *losses])
    clean: list[Cell] = [0.0] * len(hosts)
    first = next(iter(distortions.values()))
    rows.insert(0, ["clean", len(first), 0.0, *clean, *transfer.clean.tolist()])
    return headings, rows
