"""What a search stores of a batch: which problem is in which slot, numbers, the best points."""

import torch
from torch import Tensor

from lit_intriguing.solvers.chosen_rows import ChosenRows

_TOGETHER = 0.06
"""Slots are filled again once this share of them rests."""

_WORTH = 0.8
"""Slots are dropped once at most this share of them still works."""


class Slots:
    """Gives N problems to n slots, each its next one when it has finished.

    Args:
        count: N.
        slots: n, at most N.
        device: Of the indices.

    Attributes:
        problems: The problem in each slot, int64 `(n,)`.
        working: Which slots still work, bool `(n,)`.
    """

    def __init__(self, count: int, slots: int, device: torch.device) -> None:
        self._count, self._next = count, min(slots, count)
        self.problems = torch.arange(self._next, device=device)
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
        left = self._count - self._next
        resting = len(self.problems) - self._alive
        if not left or (self._alive and resting < _TOGETHER * len(self.problems)):
            return slots[:0]
        filled = (~self.working).nonzero().squeeze(1)[:left]
        self.problems[filled] = torch.arange(
            self._next, self._next + len(filled), device=self.problems.device
        )
        self.working[filled] = True
        self._next += len(filled)
        self._alive += len(filled)
        return filled

    def worth_keeping(self) -> Tensor | None:
        """Return the slots that work (an index) once it pays to drop the others, else None.

        Their new order moves only those that lie behind the last place that is left.
        """
        left = self._alive
        if self._next < self._count or not 0 < left <= _WORTH * len(self.problems):
            return None
        kept = torch.arange(left, device=self.working.device)
        kept[~self.working[:left]] = left + self.working[left:].nonzero().squeeze(1)
        return kept

    def keep(self, slots: Tensor) -> None:
        """Drop all slots but these (an index)."""
        self.problems, self.working = self.problems[slots], self.working[slots]


class SlotTable:
    """A table with a row of n numbers for each quantity that a search stores of a slot.

    Args:
        slots: Number of slots, n.
        like: Gives dtype and device.
        first: Names of the quantities, and their values when a problem starts.
    """

    def __init__(self, slots: int, like: Tensor, **first: float) -> None:
        self._names = tuple(first)
        self._first = torch.tensor([list(first.values())], dtype=torch.float64).t().to(like)
        self._lay(self._first.repeat(1, slots))

    def __getitem__(self, name: str) -> Tensor:
        """Return the row of a quantity, `(n,)`, a view to write to."""
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


class NearestSuccess:
    """The nearest success of each problem so far.

    Args:
        x0: Points that stay where there is no success, `(N, D)`.
        slots: Which problem each slot works on.

    Attributes:
        x: The nearest success of each problem, `(N, D)`.
        square: Its `|x - x0|^2`, infinite where there is none; of the n slots, `(n,)`.
        margin: Its margin of success, negative; of the n slots, `(n,)`.
        found: Which slots have met a success: bool `(n,)`.
    """

    def __init__(self, x0: Tensor, slots: Slots) -> None:
        self.x, self._slots = x0.clone(), slots
        self.square = x0.new_full(slots.problems.shape, torch.inf)
        self.margin = torch.zeros_like(self.square)
        self.found = torch.zeros_like(slots.working)

    def update(self, trial: Tensor, square: Tensor, margin: Tensor) -> None:
        """Store the points `trial`, `(n, D)`, that succeed and are nearer than the best."""
        better = (margin < 0).logical_and_(square < self.square).logical_and_(self._slots.working)
        slots = ChosenRows(better)
        if not slots.none:
            slots.send(trial, self.x, self._slots.problems)
            self.square = torch.where(better, square, self.square)
            self.margin = torch.where(better, margin, self.margin)
            self.found = self.found | better

    def load(self, slots: Tensor) -> None:
        """Start some slots (an index) anew, for other problems."""
        self.square[slots], self.margin[slots], self.found[slots] = torch.inf, 0.0, False

    def keep(self, slots: Tensor) -> None:
        """Drop all slots but these (an index)."""
        self.square, self.margin = self.square[slots], self.margin[slots]
        self.found = self.found[slots]
