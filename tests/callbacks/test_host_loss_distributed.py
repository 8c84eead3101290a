"""The goal HostLoss on two processes, with rows that join and with a call of their own."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.strategies import DDPStrategy
from torch import Tensor, nn

from lit_intriguing.attacks import GradientAttack, HostLoss
from lit_intriguing.callbacks import AdversarialTraining, PerturbedLayer
from lit_intriguing.data import TensorLoader
from tests.callbacks.scripts import train_in

pytestmark = pytest.mark.integration

ROWS, FEATURES, WEIGHT = 16, 5, 2.0


def loss_of(out: Tensor, y: Tensor) -> Tensor:
    """Divide by something of the whole batch."""
    weights = y.float() + 0.2
    return (weights * (out[:, 0] - y).square()).sum() / weights.sum()


class Synchronised(nn.BatchNorm1d):
    """Asks all processes in each training forward, as SyncBatchNorm does, which needs a GPU."""

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            mean = x.detach().mean(0)
            dist.all_reduce(mean)
            x = x - mean / dist.get_world_size()
        return super().forward(x)


class Host(LightningModule):
    def __init__(self, norm: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        middle: list[nn.Module] = [Synchronised(6)] if norm else []
        self.net = nn.Sequential(
            nn.Linear(FEATURES, 6), *middle, nn.Tanh(), nn.Linear(6, 1)
        ).double()

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return loss_of(self(batch[0]), batch[1])

    def train_dataloader(self) -> TensorLoader:
        x = torch.rand(ROWS, FEATURES, generator=torch.Generator().manual_seed(1)).double()
        y = torch.arange(ROWS) % 3
        return TensorLoader(x, y, 8, rank=self.trainer.global_rank, world_size=2)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Record(Callback):
    """Leaves each process's pool, batch and gradients of one step, and its last weights."""

    def __init__(self, folder: Path, mixing: AdversarialTraining) -> None:
        self.folder, self.mixing = folder, mixing

    def on_train_batch_start(
        self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int
    ) -> None:
        self.batch = batch
        self.before = {k: v.clone() for k, v in pl_module.state_dict().items()}

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        self.gradients = [p.grad.clone() for p in pl_module.parameters()]

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        pool = self.mixing.pools.by_layer[""]
        kept = {name: pool.filled(name) for name in ("inputs", "labels")}
        found = {
            "pool": kept, "batch": self.batch, "before": self.before,
            "gradients": self.gradients, "after": pl_module.state_dict(),
        }  # fmt: skip
        torch.save(found, self.folder / f"{trainer.global_rank}.pt")


def train(folder: Path, strategy: Any, devices: int) -> None:
    """Train by each way in turn, called in a script."""
    ways: dict[str, tuple[bool, dict[str, bool]]] = {
        "formula": (False, {}),
        "unused": (False, {"find_unused_parameters": True}),
        "synchronised": (True, {}),
    }
    for name, (norm, ddp) in ways.items():
        (folder / name).mkdir()
        goal = HostLoss(fresh=name == "formula")
        layers = {"": PerturbedLayer(GradientAttack(0.3), WEIGHT, goal, pool=8, mix=8, refresh=8)}
        mixing = AdversarialTraining(layers, seed=7)
        trainer = Trainer(
            accelerator="cpu", devices=devices, strategy=DDPStrategy(start_method="fork", **ddp),
            max_steps=1 if name == "formula" else 3, max_epochs=-1, logger=False,
            callbacks=[mixing, Record(folder / name, mixing)], enable_progress_bar=False,
            enable_checkpointing=False, enable_model_summary=False,
            use_distributed_sampler=False,
        )  # fmt: skip
        trainer.fit(Host(norm))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("host_loss") / "runs"
    return train_in(folder, "tests.callbacks.test_host_loss_distributed", "replicated")


def of(folder: Path, name: str) -> list[Any]:
    return [torch.load(folder / name / f"{rank}.pt") for rank in (0, 1)]


def test_two_processes_follow_the_mean_of_their_formulas(trained: Path) -> None:
    found = of(trained, "formula")
    host = Host()
    host.load_state_dict(found[0]["before"])
    total = torch.zeros((), dtype=torch.float64)
    for one in found:
        x, y = one["batch"]
        pool = one["pool"]
        theirs = loss_of(host(pool["inputs"]), pool["labels"])
        total = total + (loss_of(host(x), y) + WEIGHT * theirs) / (1 + WEIGHT) / 2
    wanted = torch.autograd.grad(total, list(host.parameters()))
    for a, b, right in zip(found[0]["gradients"], found[1]["gradients"], wanted, strict=True):
        torch.testing.assert_close(a, right)
        assert torch.equal(a, b)


@pytest.mark.parametrize("way", ["unused", "synchronised"])
def test_unused_parameters_and_synchronised_statistics_go_on_with_equal_weights(
    trained: Path, way: str
) -> None:
    first, second = of(trained, way)
    for name, weight in first["after"].items():
        if "running" not in name:  # of each process's own last batch
            assert torch.equal(weight, second["after"][name]), name
    assert len(first["pool"]["inputs"]) == 8
