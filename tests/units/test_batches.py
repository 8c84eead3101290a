"""Loaders that give images in their order, and those that do not."""

import pytest
import torch
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    RandomSampler,
    SequentialSampler,
    SubsetRandomSampler,
    TensorDataset,
)

from lit_intriguing.errors import UserError
from lit_intriguing.units import analyse_units, images_at
from lit_intriguing.units.batches import as_loader, number_of_images
from tests.units.test_analyse import data, network

IMAGES = torch.arange(80.0).view(40, 2)


class Batches(Dataset):
    """Four items that are batches of ten images already."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> torch.Tensor:
        return IMAGES[10 * index : 10 * index + 10]


@pytest.mark.parametrize(
    "options",
    [
        {"batch_sampler": BatchSampler(RandomSampler(IMAGES), 8, False)},
        {"batch_sampler": BatchSampler(SubsetRandomSampler(range(40)), 8, False)},
        {"sampler": SubsetRandomSampler(range(40))},
    ],
    ids=["batches in random order", "batches of random rows", "random rows"],
)
def test_a_sampler_that_shuffles_is_found_wherever_it_stands(options: dict[str, object]) -> None:
    with pytest.raises(UserError, match="shuffles"):
        as_loader(DataLoader(TensorDataset(IMAGES), **options))


@pytest.mark.parametrize(
    "loader",
    [
        DataLoader(
            TensorDataset(IMAGES, torch.arange(40)),
            batch_sampler=BatchSampler(SequentialSampler(IMAGES), 7, drop_last=False),
        ),
        DataLoader(Batches(), batch_size=None),
        DataLoader(TensorDataset(IMAGES), 7),
    ],
    ids=["batch sampler", "items that are batches", "usual"],
)
def test_images_are_found_by_their_indices_in_each_kind_of_loader(loader: DataLoader) -> None:
    indices = torch.tensor([[39, 0], [17, 39]])
    assert torch.equal(images_at(loader, indices), IMAGES[indices])
    assert number_of_images(loader) in (None, 40)


def test_items_that_are_batches_are_counted_as_images() -> None:
    images, _ = data()

    class Few(Batches):
        def __getitem__(self, index: int) -> torch.Tensor:
            return images[10 * index : 10 * index + 10]

    report = analyse_units(
        network(), DataLoader(Few(), batch_size=None), "1", rotations=1, control=False,
        features=lambda x: x,
    )  # fmt: skip
    assert report.images == 40
