"""Images read again by their indices, whatever loader they come from."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, TensorDataset

from lit_intriguing.commands.units.second_look import loader_of
from lit_intriguing.data import TensorLoader
from lit_intriguing.splits.loader import ChunkLoader

IMAGES, LABELS = torch.arange(40.0).view(20, 2), torch.arange(20)


class Counting(Dataset[tuple[Tensor, Tensor]]):
    def __init__(self) -> None:
        self.read: list[int] = []

    def __len__(self) -> int:
        return 20

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        self.read.append(index)
        return IMAGES[index], LABELS[index]


class Stream:
    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return iter(zip(IMAGES.split(6), LABELS.split(6), strict=True))


@pytest.mark.parametrize(
    "loader",
    [
        TensorLoader(IMAGES, LABELS, 7, shuffle=True),
        DataLoader(TensorDataset(IMAGES, LABELS), batch_size=3, shuffle=True),
        Stream(),
    ],
)
def test_images_come_by_their_place_in_the_data(loader: object) -> None:
    indices = torch.tensor([[19, 2], [7, 19]])
    reader = loader_of(ChunkLoader(loader, 8, rank=0, world_size=1))
    assert torch.equal(reader.images(indices), IMAGES[indices])


def test_no_other_images_are_read() -> None:
    data = Counting()
    reader = loader_of(ChunkLoader(DataLoader(data, batch_size=4), 8, rank=1, world_size=2))
    reader.images(torch.tensor([11, 3, 11]))
    assert data.read == [3, 11]
    doubled = reader.at(torch.tensor([5]), lambda batch: (batch[0] * 2, batch[1]))
    assert torch.equal(next(doubled).images, 2 * IMAGES[5:6])
