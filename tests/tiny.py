"""A module that knows nothing of this package, for tests of the command line."""

import torch
from lightning.pytorch import LightningModule
from torch import Tensor
from torch.nn.functional import cross_entropy


class Memory:
    """Batches kept in memory: 32 points with four numbers each, two classes."""

    def __init__(self) -> None:
        points = torch.randn(32, 4, generator=torch.Generator().manual_seed(0))
        self.batches = [(x, (x[:, 0] > 0).long()) for x in points.split(8)]

    def __iter__(self):
        return iter(self.batches)

    def __len__(self) -> int:
        return len(self.batches)


class Tiny(LightningModule):
    """A linear classifier that logs `test/error`.

    Args:
        width: numbers a point, at least one.
        sizes: something nested.
    """

    def __init__(self, width: int = 4, sizes: dict[str, int] | None = None) -> None:
        super().__init__()
        if width < 1:
            raise ValueError(f"width must be positive,\n got {width}.")
        self.net = torch.nn.Linear(width, 2)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        loss = cross_entropy(self.net(batch[0]), batch[1])
        self.log("train/loss", loss, prog_bar=True)
        return loss

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        wrong = (self.net(batch[0]).argmax(1) != batch[1]).float().mean()
        self.log("test/error", wrong, sync_dist=True, batch_size=8)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)

    def train_dataloader(self) -> Memory:
        return Memory()

    def test_dataloader(self) -> Memory:
        return Memory()


class Untested(Tiny):
    """The same without a test set."""

    test_dataloader = LightningModule.test_dataloader
