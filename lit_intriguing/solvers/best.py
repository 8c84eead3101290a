"""The nearest success that each problem has met on its way."""

import torch
from torch import Tensor

from lit_intriguing.solvers.slots import Slots


class Best:
    """Keeps for each slot the nearest success so far.

    Args:
        x0: Points that stand where there is no success, ``(N, D)``.
        slots: Which problem each slot works on.

    Attributes:
        x: The nearest success of each problem, ``(N, D)``.
        square: Its ``|x - x0|^2``, infinite where there is none; of the n slots, ``(n,)``.
        margin: Its margin of success, negative; of the n slots, ``(n,)``.
        found: Which slots have met a success: bool ``(n,)``.
    """

    def __init__(self, x0: Tensor, slots: Slots) -> None:
        self.x, self._slots = x0.clone(), slots
        self.square = x0.new_full(slots.rows.shape, torch.inf)
        self.margin = torch.zeros_like(self.square)
        self.found = torch.zeros_like(slots.working)

    def meet(self, trial: Tensor, square: Tensor, margin: Tensor) -> None:
        """Keep the points ``trial``, ``(n, D)``, that succeed and are nearer than the best."""
        better = (margin < 0).logical_and_(square < self.square).logical_and_(self._slots.working)
        slots = better.nonzero().squeeze(1)
        if len(slots):
            rows = self._slots.rows.index_select(0, slots)
            self.x.index_copy_(0, rows, trial.index_select(0, slots))
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
