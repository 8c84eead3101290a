"""What the examples of the pages leave to the reader: a module, its data, a quick Trainer."""

from typing import Any

import lightning.pytorch.cli  # noqa: F401  before a test puts Quick in the place of the Trainer
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.utils.data import DataLoader

N, STEPS = 4, 3


def loader(batch: Any, steps: int = STEPS) -> DataLoader[Any]:
    return DataLoader([batch] * steps, batch_size=None)


def rows(*shape: int) -> Tensor:
    return torch.rand(N, *shape)


def classes(*shape: int, of: int = 3) -> Tensor:
    return torch.randint(of, (N, *shape))


class YourModule(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))

    def forward(self, x: Tensor) -> Any:
        return self.net(x)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return F.cross_entropy(self(batch[0]), batch[1])

    def test_step(self, batch: Any, batch_idx: int) -> None:
        self.log("test/loss", self.training_step(batch, batch_idx))


class Quick(Trainer):
    """A Trainer that makes a few steps and writes nothing."""

    def __init__(self, **options: Any) -> None:
        bars = any(isinstance(one, ProgressBar) for one in options.get("callbacks", []))
        short = {
            "max_steps": STEPS,
            "accelerator": "cpu",
            "logger": False,
            "enable_checkpointing": False,
            "enable_progress_bar": bars,
            "enable_model_summary": False,
        }
        super().__init__(**{**short, **options})

    def fit(self, model: Any, *args: Any, **kwargs: Any) -> None:
        """Fit a module with the optimiser that the examples leave out."""
        type(model).configure_optimizers = _optimiser
        super().fit(model, *args, **kwargs)


def _optimiser(module: LightningModule) -> torch.optim.Optimizer:
    return torch.optim.SGD(module.parameters(), lr=0.1)
