"""What a large pool costs in memory and in the checkpoint.

Trains a linear model on random images with a pool of 60,000 perturbed inputs of 784 floats, 188 MB,
until the pool is full; then Lightning writes a checkpoint. Linux only: it reads /proc. Run it with

    python recipes/bench/pool_memory.py
"""

import argparse
import logging
import tempfile
import threading
import time
from pathlib import Path

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn

from lit_intriguing.attacks import GradientAttack
from lit_intriguing.callbacks import AdversarialTraining, PerturbedLayer

BATCH = 2_000


class Linear(LightningModule):
    """Softmax regression."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Linear(784, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits `(N, 10)`."""
        return self.net(x)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Return the mean cross-entropy."""
        return nn.functional.cross_entropy(self(batch[0]), batch[1])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return plain gradient descent."""
        return torch.optim.SGD(self.parameters(), lr=0.1)


class OneBatch:
    """The same random batch again and again."""

    def __init__(self, steps: int) -> None:
        self.batch = torch.rand(BATCH, 784), torch.randint(10, (BATCH,))
        self.steps = steps

    def __len__(self) -> int:
        return self.steps

    def __iter__(self):
        return iter([self.batch] * self.steps)


def resident() -> float:
    """Return the megabytes (10^6) of this process in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


class Peak(threading.Thread):
    """Measures the memory again and again until it is stopped."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.running, self.most = True, 0.0

    def run(self) -> None:
        """Keep the most seen."""
        while self.running:
            self.most = max(self.most, resident())
            time.sleep(0.001)


def train(rows: int, folder: str) -> tuple[float, float, float]:
    """Return megabytes: resident with the pool full, peak while saving, the checkpoint's size."""
    layer = PerturbedLayer(GradientAttack(1.5), pool=rows, mix=100, refresh=min(rows, BATCH))
    trainer = Trainer(
        max_epochs=1, accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False,
        callbacks=[AdversarialTraining({"": layer})],
    )  # fmt: skip
    trainer.fit(Linear(), OneBatch(60_000 // BATCH))
    before, peak = resident(), Peak()
    peak.start()
    path = Path(folder) / "pool.ckpt"
    trainer.save_checkpoint(path)
    peak.running = False
    peak.join()
    return before, peak.most, path.stat().st_size / 1e6


def main() -> None:
    """Print the costs of the large pool beside those of a small one."""
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        train(100, folder)
        small, _, small_file = train(100, folder)
        full, peak, file = train(60_000, folder)
    print(f"the pool's examples {60_000 * 784 * 4 / 1e6:.0f} MB")
    print(f"memory with the pool, less that without: {full - small:.0f} MB")
    print(f"more while the checkpoint is written: {peak - full:.0f} MB")
    print(f"checkpoint, less that without: {file - small_file:.0f} MB")


if __name__ == "__main__":
    main()
