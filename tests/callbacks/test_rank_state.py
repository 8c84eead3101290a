"""States of several processes, with the group of processes played by the test."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch.distributed as dist

from lit_intriguing.callbacks.rank_state import gather_ranks, of_this_rank


def play(monkeypatch: pytest.MonkeyPatch, rank: int, states: list[dict[str, Any]]) -> list[int]:
    """Stand in for a group whose processes hold the given states; returns who gathered where."""
    calls: list[int] = []

    def gather(state: Any, into: list[Any] | None, dst: int) -> None:
        calls.append(dst)
        assert state is states[rank]
        assert (into is None) is (rank != dst)
        if into is not None:
            into[:] = states

    monkeypatch.setattr(dist, "is_initialized", lambda: True)
    monkeypatch.setattr(dist, "get_world_size", lambda: len(states))
    monkeypatch.setattr(dist, "get_rank", lambda: rank)
    monkeypatch.setattr(dist, "gather_object", gather)
    return calls


def trainer(rank: int, processes: int) -> Any:
    return SimpleNamespace(global_rank=rank, world_size=processes)


def test_single_process_keeps_its_state_without_a_copy() -> None:
    state = {"a": 1}
    assert gather_ranks(state) == {"0": state}
    assert gather_ranks(state)["0"] is state


def test_group_of_one_gathers_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = play(monkeypatch, 0, [{"a": 1}])
    assert gather_ranks({"a": 1}) == {"0": {"a": 1}}
    assert calls == []


def test_first_process_gets_the_states_of_all_by_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    states = [{"a": rank} for rank in range(3)]
    calls = play(monkeypatch, 0, states)
    assert gather_ranks(states[0]) == {"0": {"a": 0}, "1": {"a": 1}, "2": {"a": 2}}
    assert calls == [0]


def test_other_processes_take_part_and_get_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    states = [{"a": rank} for rank in range(3)]
    calls = play(monkeypatch, 2, states)
    assert gather_ranks(states[2]) == {}
    assert calls == [0]


@pytest.mark.parametrize("rank", [0, 1])
def test_each_process_gets_its_own_state_back(rank: int) -> None:
    assert (
        of_this_rank({"0": "first", "1": "second"}, trainer(rank, 2), "pools")
        == (
            "first",
            "second",
        )[rank]
    )


@pytest.mark.parametrize(
    ("rank", "processes", "expected"), [(0, 1, "first"), (2, 4, "first"), (3, 4, "second")]
)
def test_another_number_of_processes_takes_turns_and_warns(
    rank: int, processes: int, expected: str
) -> None:
    with pytest.warns(UserWarning, match=f"the pools of 2 processes and this run has {processes}"):
        found = of_this_rank({"0": "first", "1": "second"}, trainer(rank, processes), "pools")
    assert found == expected
