"""An attack that takes its time, so that it can be stopped halfway."""

import time

import torch

from lit_intriguing.attacks.base import Attack, Found


class SlowAttack(Attack):
    """Adds noise after a while.

    Args:
        seconds: How long a chunk takes.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def search(self, model, x, criterion, *, bounds, generator) -> Found:
        time.sleep(self._seconds)
        noise = torch.rand(x.shape, generator=generator)
        return Found(x + noise, torch.ones(len(x)).long(), {"c": torch.ones(len(x))})
