"""Rows gathered from all processes, in one collective call."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def one_shape(entries: Mapping[str, Any]) -> str | None:
    """Return the names, types and shapes of rows; None if some entry is no tensor."""
    if not all(isinstance(one, Tensor) for one in entries.values()):
        return None
    return repr([(name, one.dtype, tuple(one.shape[1:])) for name, one in entries.items()])


def gathered(
    entries: Mapping[str, Tensor], counts: Sequence[int], order: Tensor
) -> dict[str, Tensor]:
    """Return the rows of all processes. Every process must call it.

    Args:
        entries: This process's rows, by name: tensors of as many rows.
        counts: How many rows each process has.
        order: The places of the rows to return, in a list in which each process has as many places
            as the process with the most rows.
    """
    own = torch.cat([_as_bytes(one) for one in entries.values()], dim=1)
    own = torch.cat([own, own.new_zeros((max(counts) - len(own), own.shape[1]))])
    every = own.new_empty((len(counts) * max(counts), own.shape[1]))
    dist.all_gather(list(every.chunk(len(counts))), own)
    rows, found, start = every[order.to(every.device)], {}, 0
    for name, one in entries.items():
        stop = start + math.prod(one.shape[1:]) * one.element_size()
        column = rows[:, start:stop].clone(memory_format=torch.contiguous_format)
        found[name] = column.view(one.dtype).reshape(-1, *one.shape[1:])
        start = stop
    return found


def _as_bytes(rows: Tensor) -> Tensor:
    width = math.prod(rows.shape[1:])
    return rows.detach().reshape(len(rows), width).contiguous().view(torch.uint8)
