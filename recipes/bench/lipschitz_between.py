"""How loose a certified bound gets that is only carried along, not found anew.

A layer's norm is at most its norm at the start of the epoch plus a bound of what its weights have
changed by since: cheap, the smaller of the Frobenius norm and the root of the largest row sum times
the largest column sum, or exact, the norm of the change. Trains as recipes/lipschitz_mnist.yaml
does (weight 0: without the penalty) and prints, for some steps of some epochs, the product of these
bounds over the product of the true norms. Run it with

    OMP_NUM_THREADS=1 python recipes/bench/lipschitz_between.py --weight 3e-3
"""

import argparse
import logging
import math
import warnings
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer, seed_everything
from torch import Tensor

from lit_intriguing.callbacks import LipschitzPenalty
from lit_intriguing.data import MNIST
from lit_intriguing.models import Classifier
from lit_intriguing.models.schedules import CosineOverRun

LAYERS = ("hidden1.0", "hidden2.0", "output")


class Carried(Callback):
    """Prints the looseness, and ends the run after the last epoch asked for."""

    def __init__(self, epochs: list[int], steps: list[int]) -> None:
        self.epochs, self.steps = epochs, steps
        self.start: list[Tensor] = []

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: Any, batch: Any, index: int
    ) -> None:
        """Compare the weights with those at the epoch's start."""
        now = [pl_module.get_submodule(name).weight.detach().double() for name in LAYERS]
        if index == 0:
            self.start = now  # in float64, so that they are copies
        elif trainer.current_epoch in self.epochs and index in self.steps:
            cheap, exact = (self._looseness(now, bound) for bound in (change, norm))
            print(f"| {trainer.current_epoch} | {index} | {cheap:.2f} | {exact:.2f} |", flush=True)
        trainer.should_stop = trainer.current_epoch > max(self.epochs)

    def _looseness(self, now: list[Tensor], bound: Any) -> float:
        pairs = zip(self.start, now, strict=True)
        return math.prod((norm(old) + bound(new - old)) / norm(new) for old, new in pairs)


def norm(matrix: Tensor) -> float:
    """Return the largest singular value."""
    return torch.linalg.matrix_norm(matrix, 2).item()


def change(matrix: Tensor) -> float:
    """Return a bound of it that takes no time."""
    sizes = matrix.abs()
    sums = math.sqrt(sizes.sum(0).max().item() * sizes.sum(1).max().item())
    return min(matrix.norm().item(), sums)


def main() -> None:
    """Train and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weight", type=float, default=3e-3, help="of the penalty")
    parser.add_argument("--epochs", type=int, nargs="+", default=[2, 11], help="counted from 0")
    parser.add_argument("--steps", type=int, nargs="+", default=[10, 50, 100, 299])
    options = parser.parse_args()
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    seed_everything(0, verbose=False)
    model = Classifier(
        optimizer=lambda parameters: torch.optim.Adam(
            parameters, lr=3e-3, weight_decay=1e-4, fused=True
        ),
        scheduler=CosineOverRun,
    )
    penalty = [LipschitzPenalty(options.weight)] if options.weight else []
    print("| epoch | step | cheap | exact |\n|---|---|---|---|")
    Trainer(
        max_epochs=60, accelerator="cpu", devices=1, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, limit_val_batches=0,
        callbacks=[Carried(options.epochs, options.steps), *penalty],
    ).fit(model, MNIST(batch_size=200))  # fmt: skip


if __name__ == "__main__":
    main()
