"""Examples in the data's own order, in chunks."""

from collections import namedtuple
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import (
    DataLoader,
    IterableDataset,
    Sampler,
    SubsetRandomSampler,
    TensorDataset,
)

from lit_intriguing.data import TensorLoader
from lit_intriguing.errors import UserError
from lit_intriguing.hosts.batch import BatchError
from lit_intriguing.splits.loader import ChunkLoader, regrouped

IMAGES, LABELS = torch.arange(20.0).view(10, 2), torch.arange(10)
SET = TensorDataset(IMAGES, LABELS)


class Stream(IterableDataset):
    """Examples one after the other, without a length."""

    def __iter__(self):
        return iter(SET)


class Odd(Sampler):
    """The odd examples: what a sampler of the user's may do."""

    def __iter__(self):
        return iter(range(1, 10, 2))

    def __len__(self) -> int:
        return 5


LOADERS = {
    "tensors": TensorLoader(IMAGES, LABELS, 3, shuffle=True, drop_last=True),
    "shuffled": DataLoader(SET, 3, shuffle=True, drop_last=True),
    "stream": DataLoader(Stream(), 3),
    "batches": list(DataLoader(SET, 7)),
}


def labels_of(loader: ChunkLoader) -> list[list[int]]:
    return [labels.tolist() for _, labels in loader]


@pytest.mark.parametrize("name", LOADERS)
@pytest.mark.parametrize("size", [1, 4, 5, 10, 99])
def test_every_example_comes_once_in_order(name: str, size: int) -> None:
    chunks = ChunkLoader(LOADERS[name], size)
    found = list(chunks)
    assert torch.equal(torch.cat([images for images, _ in found]), IMAGES)
    assert labels_of(chunks) == [row.tolist() for row in LABELS.split(size)]


def test_a_chunk_can_be_changed_without_changing_the_data_set() -> None:
    for images, labels in ChunkLoader(LOADERS["tensors"], 4):
        images.zero_()
        labels.zero_()
    assert torch.equal(LABELS, torch.arange(10))
    assert torch.equal(IMAGES.flatten(), torch.arange(20.0))


@pytest.mark.parametrize("name", LOADERS)
@pytest.mark.parametrize("limit", [1, 5, 6, 10, 20])
def test_a_limit_cuts_the_examples_off(name: str, limit: int) -> None:
    chunks = ChunkLoader(LOADERS[name], 3, limit)
    assert labels_of(chunks) == [row.tolist() for row in LABELS[:limit].split(3)]


@pytest.mark.parametrize("name", ["tensors", "shuffled"])
@pytest.mark.parametrize("world", [2, 3, 7])
def test_whole_chunks_are_shared_out_to_processes(name: str, world: int) -> None:
    alone = labels_of(ChunkLoader(LOADERS[name], 2))
    for rank in range(world):
        chunks = ChunkLoader(LOADERS[name], 2, None, rank, world)
        found = labels_of(chunks)
        assert found == [alone[chunks.index(i)] for i in range(len(found))]
        assert chunks.own_chunks == len(found)
        assert len(chunks) == -(-5 // world) > 0
        assert chunks.chunks == 5
    assert sum(len(range(rank, 5, world)) for rank in range(world)) == 5


def test_a_subsets_examples_come_in_its_own_order() -> None:
    loader = DataLoader(SET, 2, sampler=SubsetRandomSampler([5, 2, 8]))
    assert labels_of(ChunkLoader(loader, 2)) == [[5, 2], [8]]


@pytest.mark.parametrize(
    "loader",
    [
        DataLoader(SET, 3, sampler=Odd()),
        DataLoader(SET, batch_sampler=[[1, 3], [5, 7, 9]]),
    ],
    ids=["sampler", "batch sampler"],
)
def test_a_sampler_of_the_users_decides_the_examples(loader: DataLoader) -> None:
    chunks = ChunkLoader(loader, 4)
    assert labels_of(chunks) == [[1, 3, 5, 7], [9]]
    assert chunks.examples is chunks.chunks is chunks.own_chunks is None
    with pytest.raises(TypeError, match="number of examples of a DataLoader is unknown"):
        len(chunks)


def test_workers_and_collation_stay_as_they_were() -> None:
    def doubled(rows: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        images, labels = zip(*rows, strict=True)
        return 2 * torch.stack(images), torch.stack(labels)

    (images, _), *_ = ChunkLoader(DataLoader(SET, 3, collate_fn=doubled), 10)
    assert torch.equal(images, 2 * IMAGES)
    spread = ChunkLoader(DataLoader(SET, 3, num_workers=1, timeout=60), 4)
    assert labels_of(spread) == [row.tolist() for row in LABELS.split(4)]


def test_several_processes_need_a_data_set_of_known_length() -> None:
    with pytest.raises(UserError, match="cannot be shared out to 2 processes"):
        ChunkLoader(DataLoader(Stream(), 3), 4, None, 0, 2)


def test_a_split_without_examples_is_refused() -> None:
    with pytest.raises(UserError, match="no examples"):
        ChunkLoader(DataLoader(TensorDataset(IMAGES[:0])), 4)


@pytest.mark.parametrize(
    ("batch", "found"),
    [
        (IMAGES, r"not a torch.float32 tensor of shape \(10, 2\)"),
        ([IMAGES], "no labels at 1; it has 1 entries"),
        ({"x": IMAGES, "y": LABELS, "z": LABELS}, "2 of them could be the labels"),
        ((IMAGES, ["cat"]), "not a list"),
        ((IMAGES, LABELS[:3]), "10 inputs and 3 labels"),
    ],
)
def test_batches_without_labels_are_refused(batch: object, found: str) -> None:
    with pytest.raises(BatchError, match=f"{found}.* The data must give batches"):
        list(ChunkLoader([batch], 4))


Named = namedtuple("Named", ["image", "digit", "name"])


@dataclass
class Record:
    digit: Tensor
    image: Tensor
    names: list[str]


KINDS: dict[str, Any] = {
    "list": lambda x, y: [x, y],
    "tuple": lambda x, y: (x, y, [f"n{i}" for i in y.tolist()]),
    "named tuple": lambda x, y: Named(x, y, [f"n{i}" for i in y.tolist()]),
    "mapping": lambda x, y: {"names": [f"n{i}" for i in y.tolist()], "image": x, "digit": y},
    "dataclass": lambda x, y: Record(y, x, [f"n{i}" for i in y.tolist()]),
}
READERS: dict[str, Any] = {
    "mapping": lambda batch: (batch["image"], batch["digit"], batch["names"]),
    "dataclass": lambda batch: (batch.image, batch.digit, batch.names),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("size", [2, 3, 4, 10])
def test_chunks_are_batches_of_the_datas_own_kind(kind: str, known: bool, size: int) -> None:
    def collate(examples: list[tuple[Tensor, Tensor]]) -> Any:
        images, labels = zip(*examples, strict=True)
        return KINDS[kind](torch.stack(images), torch.stack(labels))

    loader = DataLoader(SET, 3, collate_fn=collate)
    found = list(ChunkLoader(loader if known else list(loader), size))
    assert {type(batch) for batch in found} == {type(KINDS[kind](IMAGES, LABELS))}
    parts = [READERS.get(kind, tuple)(batch) for batch in found]
    assert torch.equal(torch.cat([part[0] for part in parts]), IMAGES)
    assert [part[1].tolist() for part in parts] == [one.tolist() for one in LABELS.split(size)]
    if kind != "list":
        assert [name for part in parts for name in part[2]] == [f"n{i}" for i in range(10)]


def test_images_that_differ_in_shape_are_refused() -> None:
    batches = [(torch.rand(2, 3), LABELS[:2]), (torch.rand(2, 4), LABELS[:2])]
    with pytest.raises(UserError, match=r"differ in shape, \(3,\) and \(4,\): an attack takes"):
        list(ChunkLoader(batches, 4))


def test_no_more_batches_are_read_than_the_limit_needs() -> None:
    def endless():
        while True:
            yield IMAGES, LABELS

    assert [len(labels) for _, labels in regrouped(endless(), 8, 20)] == [8, 8, 4]


def test_what_belongs_to_a_whole_batch_is_that_of_the_chunks_own_batch() -> None:
    batches = [
        {"x": IMAGES[start : start + 2], "y": LABELS[start : start + 2], "domain": name}
        for start, name in ((0, "a"), (2, "b"))
    ]
    assert [chunk["domain"] for chunk in regrouped(batches, 2)] == ["a", "b"]


def test_a_stream_is_exhausted_where_it_was_read_to_its_end() -> None:
    loader = ChunkLoader(DataLoader(Stream(), batch_size=4), 3)
    chunks = iter(loader)
    next(chunks)
    assert not loader.exhausted
    assert len(list(chunks)) == 3
    assert loader.exhausted
    next(iter(loader))
    assert not loader.exhausted
