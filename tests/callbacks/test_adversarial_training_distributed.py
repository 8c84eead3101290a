"""AdversarialTraining on two processes: a pool for each, one checkpoint, every strategy on CPU."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.strategies import DDPStrategy, ModelParallelStrategy, Strategy
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from lit_intriguing.attacks import GradientAttack
from lit_intriguing.callbacks import AdversarialTraining, PerturbedLayer
from lit_intriguing.data import TensorLoader

pytestmark = pytest.mark.integration

ROWS, FEATURES, CLASSES = 48, 6, 3


class Host(LightningModule):
    """A project's module; sharded where the strategy shards."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(
            nn.Linear(FEATURES, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, CLASSES)
        )

    def configure_model(self) -> None:
        if isinstance(self.trainer.strategy, ModelParallelStrategy):
            from torch.distributed.fsdp import fully_shard

            for part in (self.net[0], self.net[2], self.net):
                fully_shard(part, mesh=self.device_mesh["data_parallel"])

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return F.cross_entropy(self(batch[0]), batch[1])

    def train_dataloader(self) -> TensorLoader:
        generator = torch.Generator().manual_seed(1)
        x = torch.rand(ROWS, FEATURES, generator=generator)
        y = torch.randint(CLASSES, (ROWS,), generator=generator)
        rank, world = self.trainer.global_rank, self.trainer.world_size
        return TensorLoader(x, y, 12 // world, rank=rank, world_size=world)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def callback() -> AdversarialTraining:
    layers = {
        "": PerturbedLayer(GradientAttack(0.3), pool=20, mix=6, refresh=4, weight=2.0),
        "net.1": PerturbedLayer(
            GradientAttack(0.1), pool=20, mix=6, refresh=4, relative=True, at_layer=True
        ),
        "net.3": PerturbedLayer(GradientAttack(0.1), pool=20, mix=6, refresh=4, stale=False),
    }
    return AdversarialTraining(layers, seed=7)


class Record(Callback):
    """Leaves each process's last weights in a file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        parts = [getattr(p, "full_tensor", p.detach)() for p in pl_module.parameters()]
        weights = torch.cat([part.detach().flatten() for part in parts])
        torch.save(weights, self.folder / f"weights-{trainer.global_rank}.pt")


def train(folder: Path, strategy: Strategy, resume: str | None = None, steps: int = 8) -> None:
    sharded = isinstance(strategy, ModelParallelStrategy)
    keep = ModelCheckpoint(
        folder, every_n_train_steps=1000 if sharded else 1, save_top_k=-1, filename="{step}"
    )
    trainer = Trainer(
        accelerator="cpu", devices=2, strategy=strategy, max_steps=steps, logger=False,
        callbacks=[callback(), Record(folder), keep], enable_progress_bar=False,
        enable_model_summary=False, use_distributed_sampler=False,
    )  # fmt: skip
    trainer.fit(Host(), ckpt_path=resume)


def forked() -> DDPStrategy:
    return DDPStrategy(start_method="fork")


def weights_of(folder: Path, rank: int) -> Tensor:
    return torch.load(folder / f"weights-{rank}.pt")


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_processes_keep_pools_of_their_own_and_the_same_weights(tmp_path: Path) -> None:
    train(tmp_path, forked())
    state = torch.load(tmp_path / "step=8.ckpt", weights_only=True)
    (pools,) = (v for k, v in state["callbacks"].items() if k.startswith("AdversarialTraining"))
    first, second = (pools[rank]["pools"][""]["tensors"]["inputs"] for rank in "01")
    assert not torch.equal(first, second)
    assert torch.equal(weights_of(tmp_path, 0), weights_of(tmp_path, 1))


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty")
def test_resumed_processes_end_with_bit_identical_weights(tmp_path: Path) -> None:
    train(tmp_path, forked())
    whole = weights_of(tmp_path, 0)
    for rank in (0, 1):
        (tmp_path / f"weights-{rank}.pt").unlink()
    train(tmp_path, forked(), resume=str(tmp_path / "step=5.ckpt"))
    assert torch.equal(whole, weights_of(tmp_path, 0))
    assert torch.equal(whole, weights_of(tmp_path, 1))


SCRIPT = """
import sys
from pathlib import Path
from lightning.pytorch.strategies import DDPStrategy, ModelParallelStrategy
from tests.callbacks.test_adversarial_training_distributed import train

if __name__ == "__main__":
    train(Path(sys.argv[1]), {strategy})
"""


def train_by_script(folder: Path, strategy: str) -> Tensor:
    """The last weights of the processes, the same on both."""
    folder.mkdir()
    script = folder / "script.py"
    script.write_text(SCRIPT.format(strategy=strategy))
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, str(script), str(folder)],
        env={**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert torch.equal(weights_of(folder, 0), weights_of(folder, 1))
    return weights_of(folder, 0)


@pytest.mark.slow
def test_sharded_weights_train_as_replicated_ones(tmp_path: Path) -> None:
    sharded = "ModelParallelStrategy(data_parallel_size=2, tensor_parallel_size=1)"
    replicated = "DDPStrategy(start_method='fork')"
    torch.testing.assert_close(
        train_by_script(tmp_path / "sharded", sharded),
        train_by_script(tmp_path / "replicated", replicated),
    )
