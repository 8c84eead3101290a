"""Waiting for another process for longer than the run's process group allows.

A process group ends a run in which a process waits for longer than its timeout: 30 minutes where
Lightning's `DDPStrategy(timeout=...)` says nothing else. Here processes wait up to `PATIENCE`. They
learn at once where the one that they wait for has died.
"""

import functools
from datetime import timedelta
from typing import Any, TypeVar

import torch.distributed as dist

PATIENCE = timedelta(days=1)
"""How long processes wait for what one does alone, such as certified bounds."""

T = TypeVar("T")


def several_processes() -> bool:
    """Return whether the processes of a run are connected, and there are several."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def prepare_to_wait() -> None:
    """Make ready what the others here wait with; every process must call it."""
    if several_processes():
        _patient_group(dist.group.WORLD)


def from_the_first(value: T) -> T:
    """Return the first process's value; every process must call it."""
    if not several_processes():
        return value
    values = [value]
    dist.broadcast_object_list(values, src=0, group=_patient_group(dist.group.WORLD))
    return values[0]


def wait_for_all() -> None:
    """Wait until every process has come here."""
    if several_processes():
        dist.barrier(group=_patient_group(dist.group.WORLD))


@functools.lru_cache(maxsize=1)
def _patient_group(world: object) -> Any:
    """Return a group of all processes, on the CPU, for as long as the run's own group lives."""
    return dist.new_group(backend="gloo", timeout=PATIENCE) if dist.is_gloo_available() else world
