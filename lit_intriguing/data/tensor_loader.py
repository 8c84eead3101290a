"""Batches from tensors in memory, in an order that a checkpoint can resume."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lit_intriguing.argument_types import checked_arguments
from lit_intriguing.errors import UserError


@checked_arguments
class TensorLoader:
    """A loader of a data set that is two tensors, on the device that uses them.

    The order of an epoch is a function of `(seed, epoch)` alone. The position is part of
    Lightning's checkpoint (`state_dict`, `load_state_dict`) and the same on every rank, so a run
    that is resumed within an epoch, at its last batch or at its end gets the same batches as
    without the interruption. Outside Lightning each new iteration is the next epoch.

    `batch_size` is **per process**: with `world_size` processes a step has
    `batch_size * world_size` examples. No example comes twice in an epoch. All ranks do the same
    number of steps: if the examples do not divide evenly, `drop_last` leaves the remainder out;
    without it one process gets a short last batch, and several processes get batches whose sizes
    differ by at most one example.

    Args:
        inputs: Tensor `(N, *S)`.
        labels: Tensor `(N,)`.
        batch_size: Largest number of examples in a batch on this process.
        shuffle: Use a new order in each epoch; otherwise the order of the tensors.
        seed: Seed of the order, not negative.
        drop_last: Leave out the examples that do not fill a batch on every process.
        rank: Of this process.
        world_size: How many processes share the examples.

    Raises:
        UserError: For unequal numbers of inputs and labels, a size out of range, or too few
            examples to give every process one in each step.

    Examples:
        >>> loader = TensorLoader(torch.eye(5), torch.arange(5), batch_size=2)
        >>> [labels.tolist() for _, labels in loader]
        [[0, 1], [2, 3], [4]]
    """

    batch_sampler = None  # Lightning reads it wherever there is a `sampler`.

    def __init__(
        self,
        inputs: Tensor,
        labels: Tensor,
        batch_size: int,
        *,
        shuffle: bool = False,
        seed: int = 0,
        drop_last: bool = False,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.inputs = inputs
        self.labels = labels
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.seed = seed
        self.drop_last = drop_last
        self.rank = rank
        self.world_size = world_size
        self._check_sizes()
        self._epoch = 0  # the epoch that `_batch` counts in
        self._batch = 0  # batches handed out
        self._next_epoch = 0
        self._resumed = False
        self._behind = 0  # by how much Lightning's epoch number is smaller

    def __len__(self) -> int:
        """Return the batches of an epoch, the same on every rank."""
        return _batches(self._layout())

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield `(inputs (n, *S), labels (n,))`, copies, n at most `batch_size`.

        A generator: Lightning creates iterators that it never uses, and an epoch begins only
        with its first batch.
        """
        self._begin_epoch()
        order = self._order()
        for batch in range(self._batch, len(self)):
            indices = order[self._places_of(batch)]
            self._batch = batch + 1
            yield self.inputs.index_select(0, indices), self.labels.index_select(0, indices)

    @property
    def sampler(self) -> "TensorLoader":
        """The object on which Lightning calls `set_epoch`."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the next iteration; Lightning calls this each epoch."""
        self._next_epoch = epoch

    def state_dict(self) -> dict[str, Any]:
        """Return the position, the same on every rank, and what it depends on."""
        return {"epoch": self._epoch, "batch": self._batch, "layout": self._layout()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Start the next iteration at the position of `state`.

        Raises:
            UserError: If the position is within an epoch that was divided otherwise (examples,
                batch size, processes, seed), so that the rest of it is unknown.
        """
        epoch, batch = int(state["epoch"]), int(state["batch"])
        if batch >= _batches(state["layout"]):  # the end, also of an epoch of other batches
            batch = len(self)
        elif batch > 0:
            self._check_layout(state["layout"])
        self._epoch, self._batch = epoch, batch
        self._next_epoch = epoch + (batch >= len(self))
        self._resumed = True

    def _begin_epoch(self) -> None:
        """Set epoch and batch: the restored ones, or the start of the next epoch."""
        if self._resumed:
            # Lightning gives a later epoch if the saved one is over though this loader had batches
            # left (`limit_train_batches`); with `max_steps` it may count one too many.
            if self._batch >= len(self) or self._next_epoch > self._epoch:
                self._epoch, self._batch = self._epoch + 1, 0
            self._behind = self._epoch - self._next_epoch
        else:
            self._epoch, self._batch = self._next_epoch + self._behind, 0
        self._resumed = False
        self._next_epoch = self._epoch - self._behind + 1

    def _order(self) -> Tensor:
        size = len(self.inputs)
        if self.shuffle:
            order = torch.from_numpy(
                np.random.default_rng((self.seed, self._epoch)).permutation(size)
            )
        else:
            order = torch.arange(size)
        return order.to(self.inputs.device)

    def _places_of(self, batch: int) -> slice:
        """Return the places of this rank's batch in the order of the epoch."""
        part, size = batch * self.world_size + self.rank, len(self.inputs)
        if self.drop_last or self.world_size == 1:
            return slice(part * self.batch_size, min((part + 1) * self.batch_size, size))
        parts = len(self) * self.world_size
        return slice(part * size // parts, (part + 1) * size // parts)

    def _layout(self) -> dict[str, int]:
        return {
            "rows": len(self.inputs),
            "batch_size": self.batch_size,
            "world_size": self.world_size,
            "seed": self.seed,
            "shuffle": int(self.shuffle),
            "drop_last": int(self.drop_last),
        }

    def _check_layout(self, saved: dict[str, int]) -> None:
        changes = [
            f"{name} {saved.get(name)} -> {value}"
            for name, value in self._layout().items()
            if saved.get(name) != value
        ]
        if changes:
            raise UserError(
                "the checkpoint was saved within an epoch, which cannot continue with other "
                f"batches ({', '.join(changes)}): resume with the same settings, or from a "
                "checkpoint saved at the end of an epoch"
            )

    def _check_sizes(self) -> None:
        size = len(self.inputs)
        if len(self.labels) != size:
            raise UserError(f"{size} inputs but {len(self.labels)} labels: one label an input")
        if self.batch_size < 1:
            raise UserError(f"batch_size must be at least 1, not {self.batch_size}")
        if self.seed < 0:
            raise UserError(f"seed must not be negative: {self.seed}")
        if not 0 <= self.rank < self.world_size:
            raise UserError(f"rank {self.rank} is not among {self.world_size} processes")
        if len(self) == 0 or (not self.drop_last and size < len(self) * self.world_size):
            raise UserError(
                f"{size} examples are too few for batches of {self.batch_size} on "
                f"{self.world_size} process(es): every process needs an example in each step; "
                "use a smaller batch_size or fewer processes, or with more examples drop_last"
            )


def _batches(layout: Mapping[str, int]) -> int:
    """Return the batches of an epoch on every rank, for what `_layout` returns."""
    size, step = layout["rows"], layout["batch_size"] * layout["world_size"]
    return size // step if layout["drop_last"] else -(-size // step)
