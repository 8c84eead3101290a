"""What a step of clean training costs through Lightning, next to a bare PyTorch loop.

Both train 784-100-100-10 with Adam on 60,000 random images, batch 128, in one process and in
alternating blocks of an epoch, so that a busy machine slows both; seconds are those of the process.
Lightning runs with logger, progress bar and checkpoints off: with our `Classifier`, and with a
module that has nothing but a step and an optimiser, which shows what Lightning's own loop takes.
Run it with

    OMP_NUM_THREADS=1 python recipes/bench/clean_step.py
"""

import argparse
import logging
import statistics
import time
import warnings
from collections.abc import Callable

import torch
from lightning.pytorch import LightningModule, Trainer, seed_everything
from torch import Tensor, nn

from lit_intriguing.data import TensorLoader
from lit_intriguing.models import Classifier
from lit_intriguing.numerics import flush_denormals, keep_freed_memory, spare_search_for_gpus

ROWS, BATCH = 60_000, 128


def layers() -> nn.Sequential:
    """Return the network."""
    return nn.Sequential(
        nn.Linear(784, 100), nn.ReLU(), nn.Linear(100, 100), nn.ReLU(), nn.Linear(100, 10)
    )


class OnlyAStep(LightningModule):
    """The network with as little around it as Lightning bears."""

    def __init__(self) -> None:
        super().__init__()
        self.net = layers()

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        """Return the loss."""
        x, y = batch
        return nn.functional.cross_entropy(self.net(x.flatten(1)), y)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return Adam."""
        return torch.optim.Adam(self.parameters())


def bare(x: Tensor, y: Tensor) -> float:
    """Seconds of an epoch of a loop that does only what is needed."""
    model = layers()
    optimizer = torch.optim.Adam(model.parameters())
    start = time.process_time()
    order = torch.randperm(len(x))
    for rows in order.split(BATCH):
        loss = nn.functional.cross_entropy(model(x.index_select(0, rows).flatten(1)), y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return time.process_time() - start


def through_lightning(x: Tensor, y: Tensor, model: LightningModule) -> float:
    """Seconds of an epoch of `Trainer.fit`, its start and end included."""
    trainer = Trainer(
        max_epochs=1,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_checkpointing=False,
        enable_model_summary=False,
    )
    loader = TensorLoader(x, y, BATCH, shuffle=True)
    start = time.process_time()
    trainer.fit(model, loader)
    return time.process_time() - start


def main() -> None:
    """Print the medians and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--blocks", type=int, default=7, help="epochs of each, alternating")
    parser.add_argument("--rows", type=int, default=ROWS, help="images in the data set")
    blocks, rows = vars(parser.parse_args()).values()
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", message=".*validation_step.*")
    flush_denormals()
    keep_freed_memory()
    spare_search_for_gpus()
    seed_everything(0, verbose=False)
    x, y = torch.rand(rows, 1, 28, 28), torch.randint(10, (rows,))

    loops: tuple[Callable[[Tensor, Tensor], float], ...] = (
        bare,
        lambda x, y: through_lightning(x, y, Classifier()),
        lambda x, y: through_lightning(x, y, OnlyAStep()),
    )
    for loop in loops:
        loop(x[:BATCH], y[:BATCH])
    seconds = [[loop(x, y) for loop in loops] for _ in range(blocks)]
    steps = -(-rows // BATCH)
    names = "bare loop", "our Classifier", "only a step"
    for name, column in zip(names, zip(*seconds, strict=True), strict=True):
        print(f"{name:15} {statistics.median(column) / steps * 1e3:5.2f} ms a step")
    ours, own = (statistics.median(row[i] / row[0] for row in seconds) for i in (1, 2))
    print(f"our Classifier / bare {ours:.2f} (median of {blocks}; goal: at most 1.25)")
    print(f"only a step / bare {own:.2f}")


if __name__ == "__main__":
    main()
