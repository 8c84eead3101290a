"""Where the rows of a global batch are on processes, and what each process counts for."""

from typing import Any

import pytest
import torch
import torch.distributed as dist
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn
from torch.utils.data import BatchSampler, DataLoader, DistributedSampler, TensorDataset

from lit_intriguing.attacks import RandomTargets
from lit_intriguing.data import TensorLoader
from lit_intriguing.errors import UserError
from lit_intriguing.pools import processes as processes_file
from lit_intriguing.pools.first_rows import FirstRows
from lit_intriguing.pools.processes import (
    AllProcesses,
    OneProcess,
    RowsOfAll,
    all_processes,
    deals_rows_in_turn,
    global_order,
    warn_of_batch_norm,
)


class Stand:
    """A Trainer's numbers, without processes."""

    def __init__(self, rank: int, size: int, replicas: int | None = None) -> None:
        self.global_rank, self.world_size = rank, size
        self.strategy = self
        self.root_device = torch.device("cpu")
        self.distributed_sampler_kwargs = {"num_replicas": replicas or size}


def several(rank: int, counts: list[int]) -> AllProcesses:
    processes = AllProcesses(Stand(rank, len(counts)))  # type: ignore[arg-type]
    processes._counts, processes._in_turn = counts, False
    return processes


def test_each_row_of_the_global_batch_is_found_once() -> None:
    counts = [3, 1, 2]
    rows = {(process, place) for process, count in enumerate(counts) for place in range(count)}
    for in_turn in (True, False):
        order = global_order(counts, in_turn)
        assert len(order) == len(rows)
        assert set(order) == rows


def test_the_first_rows_are_those_of_the_first_processes() -> None:
    first = [several(rank, [3, 3]).first(4, 3) for rank in (0, 1)]
    assert [one.own for one in first] == [3, 1]
    assert [one.places.tolist() for one in first] == [[0, 1, 2], [3]]


def test_a_process_without_a_first_row_makes_one_that_is_not_counted() -> None:
    rows = several(1, [3, 3]).first(2, 3)
    assert (rows.here, rows.own, rows.total) == (1, 0, 2)


def test_the_mean_of_the_shared_means_is_the_mean_over_all_rows() -> None:
    counts, drawn = [5, 2], 7
    shares = [several(rank, counts).shares({"a": drawn}) for rank in (0, 1)]
    parts = [len(range(drawn)[several(rank, counts).part]) for rank in (0, 1)]
    assert sum(parts) == drawn
    for share, here in zip(shares, parts, strict=True):
        assert share.of("a") / len(counts) == pytest.approx(here / drawn)
    assert [one.clean / 2 for one in shares] == pytest.approx([5 / 7, 2 / 7])
    assert shares[0].of("another") == 1


@pytest.fixture
def other(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the other of two processes sends, in place of a network."""
    sent: dict[str, Any] = {}
    monkeypatch.setattr(dist, "all_reduce", lambda own: own.add_(sent["sums"]))

    def all_gather(every: list[Tensor], own: Tensor) -> None:
        every[0].copy_(own)
        every[1].copy_(sent["rows"])

    monkeypatch.setattr(dist, "all_gather", all_gather)
    return sent


def test_the_spread_is_that_of_the_rows_of_all_processes(other: dict[str, Any]) -> None:
    x = torch.randn(7, 4, generator=torch.Generator().manual_seed(0)) + 100
    there = x[4:].double()
    other["sums"] = torch.cat(
        [there.sum(0), torch.stack([there.square().sum(), torch.tensor(3.0)])]
    )
    rows = RowsOfAll(global_order([4, 3], False), 0, 2)
    spread = rows.spread(x[:4])
    assert spread is not None
    torch.testing.assert_close(spread, FirstRows(7).spread(x))


def test_targets_are_those_that_one_process_draws(other: dict[str, Any]) -> None:
    labels, logits = torch.arange(5) % 3, torch.zeros(5, 3)
    columns = torch.cat([labels.view(-1, 1).view(torch.uint8), logits.view(torch.uint8)], dim=1)
    other["rows"] = torch.cat([columns[3:], columns.new_zeros(1, columns.shape[1])])
    one, shared = (torch.Generator().manual_seed(4) for _ in range(2))
    rows = RowsOfAll(global_order([3, 2], False), 0, 2)
    found = rows.criterion(RandomTargets(), labels[:3], logits[:3], shared)
    assert torch.equal(found.labels, RandomTargets()(labels, logits, one).labels[:3])
    assert torch.equal(one.get_state(), shared.get_state())


def test_an_attack_s_own_draws_leave_the_shared_generator_alone() -> None:
    shared = torch.Generator().manual_seed(3)
    before = shared.get_state()
    draws = [
        torch.rand(3, generator=RowsOfAll(global_order([2, 2], False), rank, 2).generator(shared))
        for rank in (0, 1)
    ]
    assert torch.equal(before, shared.get_state())
    assert not torch.equal(*draws)


def test_one_process_needs_no_others() -> None:
    assert type(all_processes(Stand(0, 1), least=1)) is OneProcess  # type: ignore[arg-type]


def test_a_process_without_examples_is_refused() -> None:
    with pytest.raises(UserError, match="4 processes, and one of them is 3: set both to 4 or more"):
        all_processes(Stand(0, 4), least=3)  # type: ignore[arg-type]
    assert all_processes(Stand(0, 4), least=4).size == 4  # type: ignore[arg-type]


def test_processes_that_train_on_the_same_rows_are_refused() -> None:
    with pytest.raises(UserError, match="4 processes train on 2 parts of the data"):
        all_processes(Stand(0, 4, replicas=2), least=4)  # type: ignore[arg-type]


class Normed(LightningModule):
    """Has a normalisation layer."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.norm = norm


def test_batch_norm_is_told_of() -> None:
    with pytest.warns(UserWarning, match="BatchNorm normalises each process's own rows"):
        warn_of_batch_norm(Normed(nn.BatchNorm2d(3)))
    for norm in (nn.LayerNorm(3), nn.SyncBatchNorm(3)):
        warn_of_batch_norm(Normed(norm))  # warnings are errors


@pytest.mark.parametrize("batched", [False, True])
def test_a_distributed_sampler_deals_rows_in_turn(
    monkeypatch: pytest.MonkeyPatch, batched: bool
) -> None:
    rows = TensorDataset(torch.zeros(8, 1))
    sampler = DistributedSampler(rows, 2, 0)
    loader = (
        DataLoader(rows, batch_sampler=BatchSampler(sampler, 2, drop_last=False))
        if batched
        else DataLoader(rows, 2, sampler=sampler)
    )
    loaders: list[Any] = [loader]
    monkeypatch.setattr(processes_file, "loaders_of", lambda loop: loaders)
    trainer = Trainer(accelerator="cpu", logger=False)
    assert deals_rows_in_turn(trainer)
    loaders[:] = [TensorLoader(torch.zeros(8, 1), torch.zeros(8), 2, rank=1, world_size=2)]
    assert not deals_rows_in_turn(trainer)
