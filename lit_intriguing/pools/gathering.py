"""Rows gathered from all processes, in one collective call."""

import math
from collections import Counter
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
    entries: Mapping[str, Tensor], order: Sequence[tuple[int, int]], rank: int, size: int
) -> dict[str, Tensor]:
    """Return the rows of all processes, in order. Every process must call it.

    A process sends about as many bytes as the rows have in all, or twice as many where few
    processes have most of the rows; however many processes there are.

    Args:
        entries: This process's rows, by name: tensors of as many rows.
        order: The process of each row, and its place there.
        rank: The number of this process.
        size: How many processes there are.
    """
    own = torch.cat([_as_bytes(one) for one in entries.values()], dim=1)
    most = max(Counter(process for process, _ in order).values())
    if size * most <= 2 * len(order):
        own = torch.cat([own, own.new_zeros((most - len(own), own.shape[1]))])
        every = own.new_empty((size * most, own.shape[1]))
        dist.all_gather(list(every.chunk(size)), own)
        rows = every[[process * most + place for process, place in order]]
    else:  # each padded to the longest would be many rows
        rows = own.new_zeros((len(order), own.shape[1]))
        here = {k: place for k, (process, place) in enumerate(order) if process == rank}
        rows[list(here)] = own[list(here.values())]
        dist.all_reduce(rows)
    found, start = {}, 0
    for name, one in entries.items():
        stop = start + math.prod(one.shape[1:]) * one.element_size()
        column = rows[:, start:stop].clone(memory_format=torch.contiguous_format)
        found[name] = column.view(one.dtype).reshape(-1, *one.shape[1:])
        start = stop
    return found


def _as_bytes(rows: Tensor) -> Tensor:
    width = math.prod(rows.shape[1:])
    return rows.detach().reshape(len(rows), width).contiguous().view(torch.uint8)
