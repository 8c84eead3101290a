"""The first rows of a batch, of which examples are made."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from lit_intriguing.attacks import Criterion, Goal


class FirstRows:
    """The rows of one process, which need no other process.

    Args:
        here: How many rows of this process's batch.

    Attributes:
        total: How many there are on all processes.
    """

    def __init__(self, here: int) -> None:
        self.here = self.total = here

    def criterion(
        self, goal: Goal, labels: Tensor, logits: Tensor, generator: torch.Generator
    ) -> Criterion:
        """Return what a goal sets for the rows.

        Args:
            goal: The goal.
            labels: Their classes, int64 `(N,)`.
            logits: Of the clean rows, `(N, C)`.
            generator: Source of randomness, on the CPU.
        """
        return goal(labels, logits, generator)

    def spread(self, x: Tensor) -> Tensor | None:
        """Return the root of the variances of activations `(N, *S)`, summed over the units: `()`.

        None of fewer than two rows.
        """
        if len(x) < 2:
            return None
        # Without a pass over columns.
        spread: Tensor = torch.linalg.vector_norm(x - x.mean(0)) / math.sqrt(len(x) - 1)
        return spread

    def generator(self, shared: torch.Generator) -> torch.Generator:
        """Return the generator that an attack draws from."""
        return shared

    def gather(self, entries: Mapping[str, Any]) -> dict[str, Any]:
        """Return the entries of the rows on all processes, in the global batch's order.

        Every process must call it.

        Args:
            entries: What each row of this process has, by name.
        """
        return dict(entries)
