"""Numbers that a search keeps for each of its slots."""

import torch
from torch import Tensor


class Numbers:
    """A table with a named row of n numbers for each thing to remember of a slot.

    Args:
        slots: Number of slots, n.
        like: Gives dtype and device.
        first: The names, and what a new problem starts with.
    """

    def __init__(self, slots: int, like: Tensor, **first: float) -> None:
        self._names = tuple(first)
        self._first = torch.tensor([list(first.values())], dtype=torch.float64).t().to(like)
        self._lay(self._first.repeat(1, slots))

    def __getitem__(self, name: str) -> Tensor:
        """Return a row, ``(n,)``, a view to write to."""
        return self._rows[name]

    def load(self, slots: Tensor) -> None:
        """Start new problems in some slots (an index)."""
        self._table[:, slots] = self._first

    def keep(self, slots: Tensor) -> None:
        """Drop all slots but these (an index)."""
        self._lay(self._table[:, slots].contiguous())

    def _lay(self, table: Tensor) -> None:
        self._table = table
        # Once: a view taken at each use costs as much as what is done with it.
        self._rows = dict(zip(self._names, table.unbind(), strict=True))
