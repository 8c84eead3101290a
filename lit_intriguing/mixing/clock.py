"""How much of a step's time goes into making examples."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch


class StepClock:
    """Adds up the time of steps, and of the making of examples inside them.

    On an accelerator, whose work runs behind the host's back, only steps begun with
    ``wait=True`` count, and the device is waited for at both ends; on the CPU all count.
    """

    def __init__(self) -> None:
        self._step = self._making = 0.0
        self._begin: float | None = None

    def start(self, device: torch.device, wait: bool) -> None:
        """Begin a step."""
        self._begin = self._now(device) if wait or device.type == "cpu" else None

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

    def share(self) -> float | None:
        """Return the share of the time spent making, and begin anew; None if no step counted."""
        share = self._making / self._step if self._step else None
        self._step = self._making = 0.0
        return share

    def _now(self, device: torch.device) -> float:
        if device.type != "cpu":
            torch.accelerator.synchronize(device)
        return time.perf_counter()
