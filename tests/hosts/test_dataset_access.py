import os
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from lightning.pytorch.overrides.distributed import UnrepeatedDistributedSampler
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    DistributedSampler,
    IterableDataset,
    SequentialSampler,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)

from lit_intriguing.data import TensorLoader
from lit_intriguing.hosts.dataset_access import example_order, loader_over

ROWS = TensorDataset(torch.arange(5.0))


class Stream(IterableDataset[int]):
    def __iter__(self) -> Iterator[int]:
        return iter(range(5))


class EveryOther(SequentialSampler):
    def __iter__(self) -> Iterator[int]:
        return iter(range(0, 5, 2))


@pytest.mark.parametrize(
    "loader",
    [
        DataLoader(ROWS, 2),
        DataLoader(ROWS, 2, shuffle=True),
        DataLoader(ROWS, 2, sampler=WeightedRandomSampler([1.0] * 5, 2)),
        DataLoader(ROWS, 2, sampler=DistributedSampler(ROWS, 2, 0)),
        DataLoader(ROWS, 2, sampler=UnrepeatedDistributedSampler(ROWS, 2, 0)),
        TensorLoader(torch.rand(5, 3), torch.zeros(5), 2),
    ],
)
def test_loaders_of_the_whole_data_set_have_all_examples_in_its_order(loader: Any) -> None:
    assert example_order(loader) == range(5)


def test_a_subset_has_its_own_examples() -> None:
    assert example_order(DataLoader(ROWS, 2, sampler=SubsetRandomSampler([4, 1]))) == [4, 1]


@pytest.mark.parametrize(
    "loader",
    [
        DataLoader(Stream(), 2),
        DataLoader(ROWS, 2, sampler=EveryOther(ROWS)),
        DataLoader(ROWS, batch_sampler=BatchSampler(range(5), 2, False)),
        DataLoader(ROWS, batch_size=None),
        [torch.zeros(3)],
        None,
    ],
)
def test_examples_of_other_loaders_are_not_known(loader: Any) -> None:
    assert example_order(loader) is None


def test_other_examples_are_collated_as_the_loader_does() -> None:
    loader = DataLoader(ROWS, 2, collate_fn=lambda rows: -torch.stack([row[0] for row in rows]))
    assert [batch.tolist() for batch in loader_over(loader, [4, 0, 3])] == [[-4.0, 0.0], [-3.0]]
    (batch,) = loader_over(loader, [4, 0, 3], batch_size=3)
    assert batch.tolist() == [-4.0, 0.0, -3.0]


class Pids(Dataset[int]):
    """Each row is the number of the process that reads it."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, row: int) -> int:
        return os.getpid()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_examples_are_read_in_workers_where_the_loader_has_some_and_at_most_so_many() -> None:
    (batch,) = loader_over(DataLoader(Pids(), 4), range(4), most_workers=1)
    assert set(batch.tolist()) == {os.getpid()}
    loader = DataLoader(Pids(), 1, num_workers=2)
    pids = {int(batch) for batch in loader_over(loader, range(4), most_workers=1)}
    assert len(pids) == 1
    assert os.getpid() not in pids


def test_a_generator_of_its_own_spares_the_global_one() -> None:
    before = torch.get_rng_state()
    list(loader_over(DataLoader(ROWS, 2), [0], generator=torch.Generator()))
    assert torch.equal(before, torch.get_rng_state())
