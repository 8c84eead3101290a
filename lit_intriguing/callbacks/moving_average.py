"""An exponential moving average of the weights that is useful from the first steps on."""

import functools
from typing import Any

import torch
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor


class MovingAverage(WeightAveraging):
    """A moving average of the weights that is validated, tested and saved in their place.

    Lightning's `WeightAveraging` with
    `average = d * average + (1 - d) * weights`. In the n-th update d is at most
    `(1 + n) / (10 + n)`, so that a short run does not end with the weights it began with.
    Training itself is the same as without it. Of whole numbers and truth values (the counters of
    BatchNorm, tables of positions) there is no average: they are those of the last update.

    Args:
        decay: d, in [0, 1).
        every_n_steps: Optimiser steps from one update to the next.

    Raises:
        ValueError: For a number out of range.
    """

    def __init__(self, decay: float = 0.999, every_n_steps: int = 1) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"MovingAverage: decay must lie in [0, 1), not {decay}.")
        if every_n_steps < 1:
            raise ValueError(f"MovingAverage: every_n_steps must be at least 1: {every_n_steps}.")
        self.decay, self.every_n_steps = decay, every_n_steps
        options: dict[str, Any] = {"avg_fn": functools.partial(_average, decay)}
        super().__init__(**options)

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        """Return whether it is time, after a step (counted from 0)."""
        return step_idx is not None and step_idx % self.every_n_steps == 0


def _average(decay: float, average: Tensor, weights: Tensor, updates: Tensor | int) -> Tensor:
    """Return the next average, of the dtype of the one before."""
    if not (average.is_floating_point() or average.is_complex()):
        return weights
    count = float(updates)
    decay = min(decay, (1 + count) / (10 + count))
    return torch.lerp(average, weights.to(average.dtype), 1 - decay)
