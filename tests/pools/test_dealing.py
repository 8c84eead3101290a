"""Pools of a checkpoint on another number of processes: each example has one new place."""

from typing import Any

import pytest
import torch
from torch import Tensor

from lit_intriguing.attacks import GradientAttack
from lit_intriguing.pools.dealing import deal
from lit_intriguing.pools.layer_pools import LayerPools
from lit_intriguing.pools.perturbed_layer import PerturbedLayer
from lit_intriguing.pools.pool import Pool

ROOM = 6
PLAN = PerturbedLayer(GradientAttack(0.1), pool=ROOM, mix=2, refresh=2)


def pools_of(rank: int, count: int, size: tuple[int, ...] = (2,), names: str = "a") -> LayerPools:
    """Pools of one process, whose example k of rank r is filled with 10 r + k."""
    pools = LayerPools({name: PLAN for name in names}, seed=rank)
    values = (10 * rank + torch.arange(count, dtype=torch.float32)).reshape(-1, *[1] * len(size))
    for name in names if count else "":
        pool = pools.by_layer[name]
        assert isinstance(pool, Pool)
        pool.replace({"inputs": values.expand(count, *size)}, pools.generator)
    pools.step = 7
    return pools


def dealt(old: list[LayerPools], processes: int) -> list[LayerPools]:
    """The pools of each new process, loaded."""
    states: list[Any] = [one.state_dict() for one in old]
    names = list(old[0].by_layer)
    new = []
    for process in range(processes):
        pools = pools_of(0, 0, names="".join(names))
        state = deal(states, process, processes, dict.fromkeys(names, ROOM))
        pools.load_state_dict(state, torch.device("cpu"))
        new.append(pools)
    return new


def held(pools: LayerPools) -> list[int]:
    pool = pools.by_layer["a"]
    return [int(one.flatten()[0]) for one in pool.filled("inputs")] if len(pool) else []


@pytest.mark.parametrize(
    ("counts", "processes", "expected"),
    [
        ([6, 6], 1, [[0, 10, 1, 11, 2, 12]]),
        ([6, 6], 4, [[0, 2, 4], [10, 12, 14], [1, 3, 5], [11, 13, 15]]),
        ([6, 2], 3, [[0, 11, 4], [10, 2, 5], [1, 3]]),
        ([1, 0], 2, [[0], []]),
        ([0, 0], 3, [[], [], []]),
    ],
)
def test_examples_are_dealt_out_in_turn_and_each_once(
    counts: list[int], processes: int, expected: list[list[int]]
) -> None:
    old = [pools_of(rank, count) for rank, count in enumerate(counts)]
    assert [held(one) for one in dealt(old, processes)] == expected


def test_a_pool_with_room_fills_again_in_its_free_slots() -> None:
    new = dealt([pools_of(0, 6), pools_of(1, 6)], 4)[3]
    pool = new.by_layer["a"]
    assert isinstance(pool, Pool)
    pool.replace({"inputs": torch.full((2, 2), 99.0)}, new.generator)
    assert held(new) == [11, 13, 15, 99, 99]


def test_examples_of_other_shapes_on_another_process_become_one_ragged_pool() -> None:
    new = dealt([pools_of(0, 3), pools_of(1, 3, size=(4,))], 1)[0]
    rows: Any = new.by_layer["a"].state_dict()["rows"]
    assert [(int(row["inputs"][0]), len(row["inputs"])) for row in rows] == [
        (0, 2), (10, 4), (1, 2), (11, 4), (2, 2), (12, 4),
    ]  # fmt: skip


def test_each_process_draws_random_numbers_of_its_own_and_the_same_each_time() -> None:
    def drawn() -> list[Tensor]:
        new = dealt([pools_of(0, 6), pools_of(1, 6)], 5)
        return [torch.rand(3, generator=one.generator) for one in new]

    first = drawn()
    assert all(torch.equal(a, b) for a, b in zip(first, drawn(), strict=True))
    assert len({tuple(one.tolist()) for one in first}) == 5


def test_the_first_processes_go_on_with_the_random_numbers_and_the_step_of_before() -> None:
    old = [pools_of(0, 6), pools_of(1, 6)]
    states = [one.generator.get_state() for one in old]
    new = dealt(old, 3)
    assert all(torch.equal(n.generator.get_state(), s) for n, s in zip(new, states, strict=False))
    assert [one.step for one in new] == [7, 7, 7]


def test_states_saved_without_pools_have_none_to_deal() -> None:
    states: list[Any] = [{**pools_of(rank, 2).state_dict(), "pools": None} for rank in range(2)]
    state = deal(states, 0, 1, {"a": ROOM})
    assert state["pools"] is None
    assert state["step"] == 7
