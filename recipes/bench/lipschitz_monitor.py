"""What monitoring Lipschitz bounds adds to a training step, for AlexNet and for 784-100-100-10.

All times are processor time of one process with one thread, which other work on the machine
disturbs less than the clock on the wall. The dense network trains as recipes/baseline_mnist.yaml
does, on random images; within one run the monitor comes and goes in blocks of 50 steps, with and
without in turn, so that each block with it has one estimate in it. So does, in a run of its own, a
callback that does nothing, which shows what Lightning's hooks cost. The bounds certified at the end
of an epoch are outside the blocks, timed by themselves, and given as a share of an epoch too.
A step of AlexNet (torchvision's, by SGD) takes seconds: there the monitor estimates before every
second step, and the time of an estimate over that of 50 steps is the share at the default interval.
CSV loggers are written to. Run it with

    OMP_NUM_THREADS=1 python recipes/bench/lipschitz_monitor.py
"""

import argparse
import logging
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer, seed_everything
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor, nn
from torchvision.models import alexnet

from lit_intriguing.callbacks import LipschitzMonitor
from lit_intriguing.data import TensorLoader
from lit_intriguing.models import Classifier
from lit_intriguing.models.schedules import CosineOverRun

EVERY = 50
PATTERN = (None, True, False, False, True, None)
"""With or without the monitor, by blocks of an epoch; None does not count."""

STEPS = EVERY * len(PATTERN)
"""Of an epoch."""


class Stopwatch(Callback):
    """Seconds of a block's steps, from a step on."""

    def __init__(self, first: int) -> None:
        self.first, self.start, self.steps, self.seconds = first, 0.0, 0, 0.0

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: Any, batch: Any, index: int
    ) -> None:
        """Begin."""
        if index == self.first:
            self.start = time.process_time()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, index: int
    ) -> None:
        """So far."""
        self.steps, self.seconds = index + 1 - self.first, time.process_time() - self.start


class Alternating(Callback):
    """Has a callback in some blocks of steps and not in others, and notes what each takes."""

    def __init__(self, other: Callback) -> None:
        self.other, self.start = other, 0.0
        self.seconds: dict[bool, list[float]] = {True: [], False: []}

    def on_train_epoch_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Return the blocks that do not count have it."""
        self._attach(trainer, True)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, index: int
    ) -> None:
        """Go on to the next block after the last step of one."""
        block, step = divmod(index + 1, EVERY)
        if step:
            return
        done, following = (*PATTERN, None)[block - 1 : block + 1]
        # The order changes from epoch to epoch.
        turned = bool(trainer.current_epoch % 2)
        if done is not None:
            self.seconds[done != turned].append(time.process_time() - self.start)
        self._attach(trainer, following is None or following != turned)
        self.start = time.process_time()

    def _attach(self, trainer: Any, wanted: bool) -> None:
        trainer.callbacks = [self.other, self] if wanted else [self]


class Timed(LipschitzMonitor):
    """Notes how long each measurement takes."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.seconds: dict[str, list[float]] = {"_estimate": [], "_certify": []}

    def _attempt(
        self, measure: Callable[[Trainer, LightningModule], None], trainer: Any, pl_module: Any
    ) -> None:
        start = time.process_time()
        super()._attempt(measure, trainer, pl_module)
        self.seconds[measure.__name__].append(time.process_time() - start)


class AlexNet(LightningModule):
    """Torchvision's, trained by SGD."""

    def __init__(self) -> None:
        super().__init__()
        self.net = alexnet()

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        return self.net(x)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Return the loss of a batch."""
        return nn.functional.cross_entropy(self(batch[0]), batch[1])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """As in 2012."""
        return torch.optim.SGD(self.parameters(), lr=0.01, momentum=0.9)


def dense() -> Classifier:
    """Return the network and optimiser of recipes/baseline_mnist.yaml."""
    return Classifier(
        optimizer=lambda parameters: torch.optim.Adam(
            parameters, lr=3e-3, weight_decay=1e-4, fused=True
        ),
        scheduler=CosineOverRun,
    )


def train(
    model: LightningModule,
    loader: TensorLoader,
    callbacks: list[Callback],
    folder: str,
    epochs: int = 1,
) -> None:
    """Train some epochs through Lightning."""
    Trainer(
        max_epochs=epochs, accelerator="cpu", callbacks=callbacks, logger=CSVLogger(folder),
        enable_progress_bar=False, enable_checkpointing=False, enable_model_summary=False,
    ).fit(model, loader)  # fmt: skip


def alternate(other: Callback, name: str, epochs: int, folder: str) -> float:
    """Train the dense network with a callback and without; print and return what a step takes."""
    rows = 200 * STEPS
    loader = TensorLoader(
        torch.rand(rows, 1, 28, 28), torch.randint(10, (rows,)), 200, shuffle=True
    )
    blocks = Alternating(other)
    train(dense(), loader, [other, blocks], folder, epochs)
    ratios = sorted(
        on / off for on, off in zip(blocks.seconds[True], blocks.seconds[False], strict=True)
    )
    step = statistics.median(blocks.seconds[False]) / EVERY
    quarters = statistics.quantiles(ratios)
    print(f"784-100-100-10, batch 200: a step {1e3 * step:.2f} ms")
    print(f"  with {name} {statistics.median(ratios):.3f} times that")
    print(
        f"  {len(ratios)} pairs of blocks, half of them from {quarters[0]:.3f} to {quarters[2]:.3f}"
    )
    print(f"  sum of blocks {sum(blocks.seconds[True]) / sum(blocks.seconds[False]):.3f} times")
    return step


def measure_dense(epochs: int, folder: str) -> None:
    """Print what a step takes with and without."""
    monitor = Timed(every_n_steps=EVERY)
    step = alternate(monitor, "the monitor", epochs, folder)
    print("  (goal: at most 1.03 times)")
    estimate, certified = (
        statistics.median(monitor.seconds[name]) for name in ("_estimate", "_certify")
    )
    print(f"  an estimate {1e3 * estimate:.2f} ms, {estimate / EVERY / step:.2%} of {EVERY} steps")
    print(f"  the first {monitor.seconds['_estimate'][0]:.2f} s")
    share = certified / (step * STEPS)
    print(f"  certified bounds, table and figure {certified:.2f} s an epoch,")
    print(f"  {share:.0%} of the steps' time, at {STEPS} steps an epoch")
    alternate(Callback(), "a callback that does nothing", epochs, folder)


def measure_alexnet(batch: int, steps: int, folder: str) -> None:
    """Print the share of an estimate in 50 steps."""
    loader = TensorLoader(
        torch.rand(batch * steps, 3, 224, 224), torch.randint(1000, (batch * steps,)), batch
    )
    monitor, watch = Timed(every_n_steps=2), Stopwatch(3)
    train(AlexNet(), loader, [watch, monitor], folder)
    first, *later = monitor.seconds["_estimate"]
    step = (watch.seconds - sum(later)) / watch.steps
    share = statistics.median(later) / EVERY / step
    print(f"AlexNet, batch {batch}: a step {step:.2f} s")
    print(f"  an estimate {statistics.median(later):.3f} s, the first {first:.1f} s")
    print(f"  {share:.3%} of a step at every {EVERY}th (goal: at most 0.5%)")
    print(f"  certified bounds, table and figure: {monitor.seconds['_certify'][-1]:.1f} s an epoch")


def main() -> None:
    """Measure both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=20, help="of the dense network")
    parser.add_argument("--batch", type=int, default=128, help="images in a step of AlexNet")
    parser.add_argument("--steps", type=int, default=12, help="steps of AlexNet; 0 for none")
    options = parser.parse_args()
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    for message in ("validation_step", "save.*exists", "logging interval", "isinstance.treespec"):
        warnings.filterwarnings("ignore", message=f".*{message}")
    torch.set_flush_denormal(True)
    seed_everything(0, verbose=False)
    with tempfile.TemporaryDirectory() as folder:
        measure_dense(options.epochs, folder)
        if options.steps:
            measure_alexnet(options.batch, options.steps, folder)


if __name__ == "__main__":
    main()
