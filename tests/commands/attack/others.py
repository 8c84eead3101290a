"""Modules and data that know nothing of this package."""

from typing import Any

import torch
from lightning.pytorch import LightningDataModule, LightningModule
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset


def images(count: int) -> Tensor:
    return torch.rand(count, 2, 3, 3, generator=torch.Generator().manual_seed(0))


def data(count: int = 30) -> TensorDataset:
    return TensorDataset(images(count), torch.arange(count) % 4)


class OwnData(LightningModule):
    """A convolutional network that brings its own test set."""

    def __init__(self) -> None:
        super().__init__()
        self.net = torch.nn.Sequential(torch.nn.Conv2d(2, 4, 3), torch.nn.Flatten())

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)

    def setup(self, stage: str) -> None:
        if stage == "test":
            self.rows = data()

    def test_dataloader(self) -> DataLoader:
        return DataLoader(self.rows, 8)


class Normalised(LightningDataModule):
    """Brings images to [-1, 1] on the device."""

    def setup(self, stage: str) -> None:
        self.stage = stage

    def train_dataloader(self) -> DataLoader:
        assert self.stage == "fit"
        return DataLoader(data(), 7, shuffle=True)

    def on_after_batch_transfer(self, batch: tuple[Tensor, Tensor], dataloader_idx: int):
        return batch[0] * 2 - 1, batch[1]


class Mappings(LightningDataModule):
    """Gives dictionaries, and brings images to [-1, 1] on the device."""

    def test_dataloader(self) -> DataLoader:
        rows = [
            {"digit": label, "image": image, "name": "abc"[int(label) % 3]}
            for image, label in data()
        ]
        return DataLoader(rows, 7)

    def on_after_batch_transfer(self, batch: dict[str, Any], dataloader_idx: int):
        assert len(batch["name"]) == len(batch["image"])
        return {**batch, "image": batch["image"] * 2 - 1}


class Several(LightningDataModule):
    """Two test sets."""

    def test_dataloader(self) -> list[DataLoader]:
        return [DataLoader(data(), 8), DataLoader(data(), 8)]


class Unlabelled(LightningDataModule):
    """Images alone."""

    def test_dataloader(self) -> DataLoader:
        return DataLoader(images(8), 4)
