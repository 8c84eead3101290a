"""Pools that processes share: two train as one does with the rows of both in a batch."""

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.strategies import DDPStrategy
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.utils.data import DataLoader, TensorDataset

from lit_intriguing.attacks import GradientAttack, HostLoss
from lit_intriguing.callbacks import AdversarialTraining, PerturbedLayer
from lit_intriguing.data import TensorLoader
from lit_intriguing.errors import UserError

pytestmark = [
    pytest.mark.integration,
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The 'train_dataloader' does not have many workers"),
    pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty"),
]

ROWS, FEATURES, CLASSES, BATCH, STEPS = 96, 6, 3, 16, 72


class Digitless(LightningModule):
    """A classifier without BatchNorm that notes how many rows its loss is a mean over."""

    def __init__(self, rows: int = ROWS, sampler: bool = False, norm: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.rows, self.sampler, self.counted = rows, sampler, 0
        middle = nn.BatchNorm1d(8) if norm else nn.Linear(8, 8)
        self.net = nn.Sequential(
            nn.Linear(FEATURES, 8), nn.Tanh(), middle, nn.Tanh(), nn.Linear(8, CLASSES)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        logits = self(batch[0])
        self.counted = len(logits)
        return F.cross_entropy(logits, batch[1])

    def train_dataloader(self) -> Any:
        generator = torch.Generator().manual_seed(1)
        x = torch.rand(self.rows, FEATURES, generator=generator)
        y = torch.randint(CLASSES, (self.rows,), generator=generator)
        rank, world = self.trainer.global_rank, self.trainer.world_size
        if self.sampler:  # Lightning puts in a DistributedSampler, which deals rows in turn
            return DataLoader(TensorDataset(x, y), BATCH // world)
        return TensorLoader(x, y, BATCH // world, rank=rank, world_size=world)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Note(Callback):
    """Keeps each step's loss, and the last weights, in a file of each process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.losses: list[tuple[float, int]] = []

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, *rest: Any
    ) -> None:
        self.losses.append((float(outputs["loss"]), pl_module.counted))

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        weights = nn.utils.parameters_to_vector(pl_module.parameters()).detach()
        name = f"{trainer.world_size}-{trainer.global_rank}.pt"
        torch.save({"losses": self.losses, "weights": weights}, self.folder / name)


INPUT = PerturbedLayer(GradientAttack(0.3), pool=40, mix=12, refresh=10, weight=2.0)
HIDDEN = PerturbedLayer(GradientAttack(0.1), pool=40, mix=8, refresh=16, relative=True)


def train(
    folder: Path,
    processes: int,
    callback: AdversarialTraining,
    host: Digitless | None = None,
    steps: int = STEPS,
    resume: Path | None = None,
    accumulate: int = 1,
) -> None:
    trainer = Trainer(
        accelerator="cpu", devices=processes, max_steps=steps, logger=False, precision="64-true",
        strategy=DDPStrategy(start_method="fork") if processes > 1 else "auto",
        callbacks=[callback, Note(folder), ModelCheckpoint(folder, "{step}", every_n_train_steps=36,
                                                           save_top_k=-1)],
        enable_progress_bar=False, enable_model_summary=False, accumulate_grad_batches=accumulate,
    )  # fmt: skip
    trainer.fit(host or Digitless(), ckpt_path=resume, weights_only=True if resume else None)


def losses(folder: Path, processes: int) -> Tensor:
    """The mean loss of each step over the rows of all processes."""
    every = [torch.load(folder / f"{processes}-{rank}.pt")["losses"] for rank in range(processes)]
    each = torch.tensor(every, dtype=torch.float64)
    return (each[..., 0] * each[..., 1]).sum(0) / each[..., 1].sum(0)


def weights(folder: Path, processes: int, rank: int = 0) -> Tensor:
    return torch.load(folder / f"{processes}-{rank}.pt")["weights"]


def shared(layers: dict[str, PerturbedLayer], **options: Any) -> AdversarialTraining:
    return AdversarialTraining(layers, seed=7, global_pools=True, **options)


LAYERS: dict[str, dict[str, PerturbedLayer]] = {
    "input": {"": INPUT},
    "hidden": {"net.1": HIDDEN},
    "both, fresh activations": {
        "": INPUT,
        "net.3": PerturbedLayer(GradientAttack(0.1), pool=20, mix=5, refresh=3, stale=False),
    },
    "at the layer": {
        "net.1": PerturbedLayer(
            GradientAttack(0.1), pool=20, mix=6, refresh=16, relative=True, at_layer=True
        )
    },
    "larger loss": {
        "": PerturbedLayer(GradientAttack(0.3), goal=HostLoss(), pool=40, mix=12, refresh=10)
    },
    "larger loss, searched": {
        "net.1": PerturbedLayer(
            GradientAttack(0.3, steps=2), goal=HostLoss(), pool=40, mix=12, refresh=10,
            relative=True,
        )
    },
    "several steps": {
        "": PerturbedLayer(GradientAttack(0.3, steps=3), pool=40, mix=12,
                           refresh=12)
    },
}  # fmt: skip


def assert_alike(folder: Path) -> None:
    assert len(losses(folder, 1)) == STEPS
    torch.testing.assert_close(losses(folder, 2), losses(folder, 1), rtol=0, atol=1e-6)
    torch.testing.assert_close(weights(folder, 2), weights(folder, 1), rtol=0, atol=1e-6)
    assert torch.equal(weights(folder, 2, 0), weights(folder, 2, 1))


@pytest.mark.parametrize("name", LAYERS)
def test_two_processes_train_as_one(tmp_path: Path, name: str) -> None:
    for processes in (1, 2):
        train(tmp_path, processes, shared(LAYERS[name]))
    assert_alike(tmp_path)
