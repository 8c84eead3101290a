"""The pools of a checkpoint, dealt out to another number of processes."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from lit_intriguing.pools.pool import Pool
from lit_intriguing.pools.ragged_pool import RaggedPool

State = Mapping[str, Any]

_RAGGED = ("rows",)


def deal(
    states: Sequence[State], process: int, processes: int, sizes: Mapping[str, int]
) -> dict[str, Any]:
    """Return the state of one process's pools, of those that other processes had.

    Examples are dealt out like cards, one of each pool in turn, so that each has one new place. On
    more processes pools begin with fewer examples, and fill again; on fewer, what no longer fits is
    left out. A process beyond those of the checkpoint gets random numbers of its own.

    Args:
        states: `LayerPools.state_dict()` of each process, by rank.
        process: Which one asks, from 0.
        processes: How many there are now.
        sizes: Examples that the pool of each layer has room for, by the layer's name.
    """
    own = states[process % len(states)]
    generator = own["generator"]
    if process >= len(states):
        generator = _another(generator, process)
    if own["pools"] is None:  # the checkpoint was saved without them
        return {**own, "generator": generator}
    room = own["batches"] or sizes
    pools = {
        name: _dealt([one["pools"][name] for one in states], process, processes, room.get(name, 0))
        for name in own["pools"]
    }
    return {**own, "pools": pools, "generator": generator}


def _dealt(pools: Sequence[State], process: int, processes: int, size: int) -> State:
    kinds = {_kind(one) for one in pools if _count(one)}
    if len(kinds) > 1 or _RAGGED in kinds:
        rows = _rows(pools)
        return {"rows": [rows[k] for k in _in_turn(pools)][process::processes][:size]}
    held = [one for one in pools if _count(one)]
    if not held:
        return pools[0]
    capacity = len(next(iter(held[0]["tensors"].values())))
    chosen = torch.tensor(_in_turn(held)[process::processes][:capacity], dtype=torch.long)
    tensors = {}
    for name, like in held[0]["tensors"].items():
        stored = torch.cat([one["tensors"][name][: one["count"]] for one in held])
        tensors[name] = like.new_zeros(like.shape)
        tensors[name][: len(chosen)] = stored[chosen.to(stored.device)]
    return {"count": len(chosen), "tensors": tensors}


def _in_turn(pools: Sequence[State]) -> list[int]:
    """Return numbers of all examples, pool after pool, in the order: the first of each, ..."""
    counts = [_count(one) for one in pools]
    starts = [sum(counts[:k]) for k in range(len(counts))]
    pairs = zip(starts, counts, strict=True)
    places = [(k, start + k) for start, count in pairs for k in range(count)]
    return [number for _, number in sorted(places)]


def _rows(pools: Sequence[State]) -> list[Any]:
    rows: list[Any] = []
    more: Any
    for one in pools:
        if "rows" in one:
            rows += one["rows"]
        elif one["count"]:
            pool = Pool(len(next(iter(one["tensors"].values()))))
            pool.load_state_dict(one, torch.device("cpu"))
            more = RaggedPool.of(pool).state_dict()["rows"]
            rows += more
    return rows


def _count(pool: State) -> int:
    return len(pool["rows"]) if "rows" in pool else int(pool["count"])


def _kind(pool: State) -> tuple[Any, ...]:
    """Return what the examples of pools must share to be in one tensor."""
    if "rows" in pool:
        return _RAGGED
    return tuple(sorted((name, one.shape, str(one.dtype)) for name, one in pool["tensors"].items()))


def _another(state: torch.Tensor, process: int) -> torch.Tensor:
    """Return the state of a generator that draws other numbers, which this one determines."""
    generator = torch.Generator()
    generator.set_state(state.cpu())
    seed = int(torch.randint(2**62, (), generator=generator))
    return generator.manual_seed(seed + process).get_state()
