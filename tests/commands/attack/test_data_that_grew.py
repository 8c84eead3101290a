"""A finished result is not passed off as that of a data set which has grown or shrunk since."""

from pathlib import Path

import pytest
import torch
from lightning.pytorch import LightningDataModule, LightningModule
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from lit_intriguing.attacks import GaussianNoise
from lit_intriguing.errors import UserError
from lit_intriguing.trainer import Trainer

IMAGES, LABELS = torch.rand(8, 1, 4, 4), torch.arange(8) % 3


class Linear10(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x.flatten(1))


class Rows(LightningDataModule):
    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count

    def test_dataloader(self) -> DataLoader[tuple[Tensor, ...]]:
        rows = TensorDataset(IMAGES[: self.count], LABELS[: self.count])
        return DataLoader(rows, batch_size=4)


def attack(count: int, folder: Path) -> None:
    torch.manual_seed(0)
    trainer = Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False
    )
    trainer.attack(
        Linear10(),
        Rows(count),
        attack=GaussianNoise(0.1),
        chunk=4,
        only_correct=False,
        output=folder,
    )


@pytest.mark.filterwarnings("ignore:.*num_workers:UserWarning", "ignore:.*checkpoint:UserWarning")
@pytest.mark.parametrize(("before", "after"), [(4, 8), (8, 4)])
def test_other_number_of_chunks_is_refused(before: int, after: int, tmp_path: Path) -> None:
    attack(before, tmp_path / "out")
    with pytest.raises(UserError, match="was made from other images than the data gives now"):
        attack(after, tmp_path / "out")
