"""A network whose units are what its input is, and features, for the command line."""

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn

from lit_intriguing.models import Classifier


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


class Breaking(Classifier):
    """A control, always with the same weights, whose forward pass number `breaks_at` fails."""

    def __init__(self, breaks_at: int = 0) -> None:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            super().__init__(widths=(64, 16, 10))
        self.breaks_at, self.passes = breaks_at, 0

    def forward(self, x: Tensor) -> Tensor:
        self.passes += 1
        if self.passes == self.breaks_at:
            raise RuntimeError("power cut")
        return super().forward(x)
