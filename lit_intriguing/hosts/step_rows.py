"""Rows of a host's batch by number, and its training step as a forward on some of them."""

from collections.abc import Callable
from typing import Any

import torch
from lightning.pytorch.plugins.precision import Precision
from torch import Tensor

from lit_intriguing.errors import UserError
from lit_intriguing.hosts.batch import BatchError, BatchKeys, Place
from lit_intriguing.hosts.host_rows import HostRows
from lit_intriguing.hosts.manual_step import step_loss
from lit_intriguing.hosts.paths import PathError, follow, from_front
from lit_intriguing.hosts.rows_loss import in_training
from lit_intriguing.hosts.whole_rows import row_places

Numbered = list[tuple[Tensor, Tensor]]
"""Numbers of rows `(n,)` with their labels `(n,)`, by batches."""


def labelled_rows(batch: Any, keys: BatchKeys, most: int | None = None) -> HostRows:
    """Return a batch's first rows, of which each has a label.

    Args:
        batch: A batch of the host's kind.
        keys: Where the labels are; and the inputs, which need not have one entry for each label:
            those of graphs do not.
        most: How many; None for all. All, too, where the batch cannot be cut.

    Raises:
        BatchError: If there are no labels `(N,)`, or nothing at the inputs that are given.
    """
    _check_there(batch, keys.inputs)
    place = keys.find_labels(batch)
    if callable(place):
        return HostRows(HostRows.along(batch, None).batch, len(place(batch)), None)
    whole = HostRows.along(batch, place)
    return whole if whole.may_be_tied() else HostRows.along(batch, place, most)


def rows_of_inputs(batch: Any, inputs: Place | None, most: int | None = None) -> HostRows:
    """Return a batch's first rows, of which each has inputs, of any type; see `labelled_rows`.

    Raises:
        BatchError: If there are none.
    """
    if inputs is None:
        found = HostRows.of(batch, None, most)
        if found.inputs is not None:
            return found
    _check_there(batch, inputs)
    return HostRows.along(batch, row_places(batch, inputs, None).inputs, most)


def _check_there(batch: Any, inputs: Place | None) -> None:
    if inputs is None or callable(inputs) or isinstance(batch, Tensor):
        return
    try:
        follow(batch, from_front(inputs, batch))
    except PathError as error:
        raise BatchError(f"The batch has no inputs at {inputs!r}: {error}") from error


class StepRows:
    """Calls a network's training step on rows, aside, with dropout and BatchNorm as in evaluation.

    Args:
        rows: Of the host.
        precision: The Trainer's precision.
        training: Names of the modules that are in training mode in a training step.
        seed: Of the random numbers inside.
    """

    def __init__(
        self, rows: HostRows, precision: Precision, training: set[str], seed: int = 0
    ) -> None:
        self.rows, self._precision = rows, precision
        self._whole = rows.may_be_tied() or rows.part(slice(0, 1)) is None
        self._training, self._seed = training, seed

    def numbered(self, labels: Tensor, size: int) -> Numbered:
        """Return the numbers of the rows with their labels, up to `size` at once where possible."""
        numbers = torch.arange(self.rows.count, device=labels.device)
        if self._whole:
            return [(numbers, labels)]
        return list(zip(torch.split(numbers, size), torch.split(labels, size), strict=True))

    def forward(self, network: Any, numbers: Tensor) -> None:
        """Call the step of the host, or of a network like it, on rows `(n,)` in a row.

        Raises:
            UserError: If it fails.
        """
        first = int(numbers[0])
        part = None if self._whole else self.rows.part(slice(first, first + len(numbers)))
        training = [one for name, one in network.named_modules() if name in self._training]
        with in_training(network, training), torch.enable_grad():
            step_loss(network, self._precision)(
                (part or self.rows).batch, seed=self._seed, steady=True
            )

    def compared_by(self, features: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        """Return features of inputs as those of row numbers `(n,)`."""
        entry = self.rows.entry()
        inputs = entry if isinstance(entry, Tensor) else self.rows.tensor()
        return lambda numbers: features(inputs[numbers.to(inputs.device)])


def labels_of(rows: HostRows, place: Place | None) -> Tensor:
    """Return the labels of `labelled_rows`, `(N,)`.

    Args:
        rows: The rows.
        place: Where they are, if a function says so.
    """
    found = place(rows.batch) if callable(place) else rows.entry()
    if not isinstance(found, Tensor) or found.ndim != 1:
        raise UserError("The labels of the chosen examples are no tensor of integers any more.")
    return found.long()
