"""Which problem each slot of a batch works on."""

import torch
from torch import Tensor

_TOGETHER = 0.06
"""Slots are filled again once this share of them rests."""

_WORTH = 0.8
"""Slots are dropped once at most this share of them still works."""


class Slots:
    """Gives N problems to n slots, each its next one when it has finished.

    Args:
        problems: N.
        slots: n, at most N.
        device: Where the indices live.

    Attributes:
        rows: The problem in each slot, int64 ``(n,)``.
        working: Which slots still work, bool ``(n,)``.
    """

    def __init__(self, problems: int, slots: int, device: torch.device) -> None:
        self._problems, self._next = problems, min(slots, problems)
        self.rows = torch.arange(self._next, device=device)
        self.working = torch.ones(self._next, dtype=torch.bool, device=device)
        self._alive = self._next

    def __bool__(self) -> bool:
        return self._alive > 0

    def finish(self, slots: Tensor) -> Tensor:
        """Let finished slots (an index) rest, and give new problems to resting slots.

        Returns:
            The slots that have a new problem: none until enough are resting, since to fill a few
            costs as much as to fill many.
        """
        self.working[slots] = False
        self._alive -= len(slots)
        left = self._problems - self._next
        resting = len(self.rows) - self._alive
        if not left or (self._alive and resting < _TOGETHER * len(self.rows)):
            return slots[:0]
        filled = (~self.working).nonzero().squeeze(1)[:left]
        self.rows[filled] = torch.arange(
            self._next, self._next + len(filled), device=self.rows.device
        )
        self.working[filled] = True
        self._next += len(filled)
        self._alive += len(filled)
        return filled

    def worth_keeping(self) -> Tensor | None:
        """Return the slots that work (an index) once it pays to drop the others, else None."""
        if self._next < self._problems or not 0 < self._alive <= _WORTH * len(self.rows):
            return None
        return self.working.nonzero().squeeze(1)

    def keep(self, slots: Tensor) -> None:
        """Drop all slots but these (an index)."""
        self.rows, self.working = self.rows[slots], self.working[slots]
