"""States of several processes, with the group of processes played by the test."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, multiprocessing

from lit_intriguing.hosts.per_rank_state import gather_ranks, state_of_this_rank


def play(monkeypatch: pytest.MonkeyPatch, rank: int, states: list[dict[str, Any]]) -> list[int]:
    """Stand in for a group whose processes hold the given states; returns who gathered where."""
    calls: list[int] = []

    def gather(state: Any, into: list[Any] | None, dst: int) -> None:
        calls.append(dst)
        assert state == states[rank]
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


class Elsewhere(Tensor):
    """Stands in for a tensor on a device: plain once it is moved to the CPU."""

    def to(self, device: torch.device, **options: Any) -> Tensor:
        assert device.type == "cpu"
        return self.as_subclass(Tensor)


def elsewhere(*values: float) -> Tensor:
    return torch.tensor(values).as_subclass(Elsewhere)


def test_tensors_are_on_the_cpu_before_they_are_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[Any] = []
    play(monkeypatch, 1, [{}, {}])
    monkeypatch.setattr(dist, "gather_object", lambda state, into, dst: sent.append(state))
    deep = {"b": [elsewhere(2.0), (elsewhere(3.0), "name")], "c": {"d": elsewhere(4.0)}}
    state = {"a": elsewhere(1.0), **deep, "step": 5, "spread": None}
    gather_ranks(state)
    (plain,) = sent
    first, (second, (third, name)), fourth = plain["a"], plain["b"], plain["c"]["d"]
    assert [type(one) for one in (first, second, third, fourth)] == [Tensor] * 4
    assert [one.item() for one in (first, second, third, fourth)] == [1, 2, 3, 4]
    assert (name, plain["step"], plain["spread"]) == ("name", 5, None)
    assert type(state["a"]) is Elsewhere


def test_single_process_leaves_its_tensors_where_they_are() -> None:
    state = {"a": elsewhere(1.0)}
    assert type(gather_ranks(state)["0"]["a"]) is Elsewhere


def gather_in_a_group(rank: int, folder: Path) -> None:
    dist.init_process_group("gloo", f"file://{folder}/store", rank=rank, world_size=2)
    found = gather_ranks({"pool": {"rows": [torch.full((2, 3), float(rank))]}, "step": rank})
    torch.save(found, folder / f"found-{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_two_real_processes_bring_their_tensors_to_the_first(tmp_path: Path) -> None:
    multiprocessing.start_processes(gather_in_a_group, (tmp_path,), nprocs=2, start_method="fork")
    first, second = (torch.load(tmp_path / f"found-{rank}.pt") for rank in (0, 1))
    assert second == {}
    assert [first[rank]["step"] for rank in "01"] == [0, 1]
    for rank in (0, 1):
        assert torch.equal(first[str(rank)]["pool"]["rows"][0], torch.full((2, 3), float(rank)))


@pytest.mark.parametrize("rank", [0, 1])
def test_each_process_gets_its_own_state_back(rank: int) -> None:
    assert (
        state_of_this_rank({"0": "first", "1": "second"}, trainer(rank, 2), "pools")
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
        found = state_of_this_rank({"0": "first", "1": "second"}, trainer(rank, processes), "pools")
    assert found == expected
