"""State that differs from rank to rank, in one checkpoint."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.distributed as dist
from lightning.fabric.utilities import move_data_to_device
from lightning.pytorch import Trainer
from lightning.pytorch.utilities import rank_zero_warn


def gather_ranks(state: dict[str, Any]) -> dict[str, Any]:
    """Return the states of all ranks on rank 0, which writes the checkpoint; elsewhere nothing.

    Every rank must call it. On a single process nothing is copied; on several the tensors, at any
    depth of mappings, lists and tuples, come to rank 0 on the CPU.

    Returns:
        `{"0": state of rank 0, "1": ...}`.
    """
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return {"0": state}
    # A pickled tensor comes back on the device it was on: rank 0 would hold memory on all devices.
    state = move_data_to_device(state, torch.device("cpu"))
    states: list[Any] | None = [None] * dist.get_world_size() if dist.get_rank() == 0 else None
    dist.gather_object(state, states, dst=0)
    return {} if states is None else {str(rank): one for rank, one in enumerate(states)}


def state_of_this_rank(
    states: Mapping[str, Any],
    trainer: Trainer,
    what: str,
    deal: Callable[[list[Any], int, int], Any] | None = None,
) -> Any:
    """Return this rank's state; if the number of processes has changed, another one with a warning.

    Args:
        states: What `gather_ranks` returned on rank 0.
        trainer: Has this process's rank and the number of processes.
        what: What the states hold, for the warning.
        deal: Makes this rank's state of all, of its rank and of the new number of processes, if
            that has changed; by default it is that of a rank in turn.
    """
    rank, world = trainer.global_rank, trainer.world_size
    if len(states) == world:
        return states[str(rank)]
    how = "" if deal is None else ", which are dealt out anew"
    rank_zero_warn(
        f"The checkpoint holds the {what} of {len(states)} processes and this run has "
        f"{world}: training goes on from them{how}, but not bit by bit as it would have with the "
        "same number."
    )
    if deal is None:
        return states[str(rank % len(states))]
    return deal([states[str(k)] for k in range(len(states))], rank, world)
