"""Waiting for the first process for longer than the run's process group allows."""

import functools
from datetime import timedelta
from typing import Any, TypeVar

import torch.distributed as dist
from lightning.pytorch import Trainer

PATIENCE = timedelta(days=1)
"""How long processes wait for what the first one measures alone, such as certified bounds."""

T = TypeVar("T")


def prepare_to_wait(trainer: Trainer) -> None:
    """Make ready what `from_the_first` waits with; every process must call it."""
    if trainer.world_size > 1 and _can_wait():
        _patient_group(dist.group.WORLD)


def from_the_first(trainer: Trainer, value: T) -> T:
    """Return the first process's value; every process must call it.

    A process group ends a run in which a process waits for longer than its timeout: 30 minutes
    where Lightning's `DDPStrategy(timeout=...)` says nothing else. Here they wait up to `PATIENCE`.
    They learn at once where the first process has died.
    """
    if trainer.world_size == 1:
        return value
    if not _can_wait():
        return trainer.strategy.broadcast(value)
    values = [value]
    dist.broadcast_object_list(values, src=0, group=_patient_group(dist.group.WORLD))
    return values[0]


def _can_wait() -> bool:
    return dist.is_available() and dist.is_initialized() and dist.is_gloo_available()


@functools.lru_cache(maxsize=1)
def _patient_group(world: object) -> Any:
    """Return a group of all processes, on the CPU, for as long as the run's own group lives."""
    return dist.new_group(backend="gloo", timeout=PATIENCE)
