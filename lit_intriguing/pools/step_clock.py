"""The share of a training step's time that goes into making examples."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch


class StepClock:
    """A clock of training steps, and of the making of examples inside them.

    An accelerator works asynchronously, and the clock waits for it at both ends. So on an
    accelerator only the first steps after each `share` count; on the CPU all do.

    Args:
        window: Steps that count on an accelerator: one round in which all layers make examples.
    """

    def __init__(self, window: int = 1) -> None:
        self._window = window
        self._step = self._making = 0.0
        self._counted = 0
        self._begin: float | None = None

    def start(self, device: torch.device) -> None:
        """Begin a step."""
        if device.type == "cpu" or self._counted < self._window:
            self._begin = self._now(device)
            self._counted += 1

    def stop(self, device: torch.device) -> None:
        """End a step."""
        if self._begin is not None:
            self._step += self._now(device) - self._begin
            self._begin = None

    @contextmanager
    def making(self, device: torch.device) -> Iterator[None]:
        """Count the time inside as making examples."""
        counts = self._begin is not None
        begin = self._now(device) if counts else 0.0
        yield
        if counts:
            self._making += self._now(device) - begin

    def share_so_far(self) -> float | None:
        """Return the share of time spent on examples; None if no step counted."""
        return self._making / self._step if self._step else None

    def share(self) -> float | None:
        """Return the share of time spent on examples and begin anew; None if no step counted."""
        share = self.share_so_far()
        self._step, self._making, self._counted = 0.0, 0.0, 0
        return share

    def _now(self, device: torch.device) -> float:
        if device.type != "cpu":
            torch.accelerator.synchronize(device)
        return time.perf_counter()
