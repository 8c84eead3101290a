"""A network whose units are what its input is, and features, for the command line."""

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn


class Handing(LightningModule):
    """Hands flattened digits on through a layer of 64 units."""

    def __init__(self) -> None:
        super().__init__()
        self.same = nn.Linear(64, 64)
        self.pair = Pair()

    def forward(self, x: Tensor) -> Tensor:
        return self.pair(self.same(x.flatten(1)))[0]


class Pair(nn.Module):
    """A layer whose output is no tensor."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, x


class Pixels(nn.Module):
    """Features that are the pixels themselves, of the first `length` if given."""

    def __init__(self, whole: bool = True) -> None:
        super().__init__()
        self.whole = whole

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1) if self.whole else torch.zeros(1, 3)
