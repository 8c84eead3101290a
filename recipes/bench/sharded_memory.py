"""Memory of each process that shares the positions of a `QuocNet`, for one process and for two.

Two training steps on random images under `ModelParallelStrategy` (gloo, CPU). Of each process, in
MiB: its weights, their gradients and Adam's moments, and by how much its resident memory had grown
at its largest since before the network was made, until the first step and until the end. The
network is made on the device meta, and each process draws its own positions alone; --whole makes it
whole first. Run it with

    OMP_NUM_THREADS=1 python recipes/bench/sharded_memory.py

The last column compares the largest process with a single one.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer, seed_everything
from lightning.pytorch.strategies import ModelParallelStrategy
from torch import nn
from torch.distributed.tensor import DTensor
from torch.utils.data import DataLoader, TensorDataset

from lit_intriguing.models import QuocNet, ReconstructionTICA

MIB = 2**20


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure for each number of processes, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--size", type=int, default=64, help="height and width of an image")
    parser.add_argument("--kernel", type=int, default=18)
    parser.add_argument("--batch_size", type=int, default=2)
    parser.add_argument("--whole", action="store_true", help="make the network whole first")
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.worker:
        return work(options)
    print("| processes | weights | gradients, moments | growth at start | at end | end / whole |")
    print("|---|---|---|---|---|---|")
    alone = None
    for count in options.processes:
        found = started(options, count)
        alone = alone or max(one["growth"] for one in found)
        cells = [
            ", ".join(f"{one[name] / MIB:.1f}" for one in found)
            for name in ("weights", "others", "start", "growth")
        ]
        share = max(one["growth"] for one in found) / alone
        print(f"| {count} | {' | '.join(cells)} | {share:.2f} |", flush=True)


def started(options: argparse.Namespace, count: int) -> list[dict[str, int]]:
    """Return what each of so many processes measured."""
    with tempfile.TemporaryDirectory() as folder:
        words = [
            "--processes", count, "--size", options.size, "--kernel", options.kernel,
            "--batch_size", options.batch_size, "--worker", folder,
            *(["--whole"] if options.whole else []),
        ]  # fmt: skip
        done = subprocess.run(
            [sys.executable, __file__, *map(str, words)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            sys.exit(f"{count} processes ended with an error:\n{done.stderr[-2000:]}")
        return [json.loads(path.read_text()) for path in sorted(Path(folder).glob("*.json"))]


def work(options: argparse.Namespace) -> None:
    """Train in this process, which Lightning copies, and write what it took."""
    (count,) = options.processes
    images = torch.rand(2 * options.batch_size, 3, options.size, options.size)
    strategy = ModelParallelStrategy(data_parallel_size=1, tensor_parallel_size=count)
    start = Start()
    trainer = Trainer(
        accelerator="cpu", devices=count, strategy=strategy, max_steps=2, logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        callbacks=[start],
    )  # fmt: skip
    torch.rand(64, 64).requires_grad_().matmul(torch.rand(64, 64)).sum().backward()  # loads code
    seed_everything(0, verbose=False)
    before = resident()
    device = None if options.whole else "meta"
    shape = (3, options.size, options.size)
    network = QuocNet(shape, 1, kernel=options.kernel, memory=2.0, device=device)
    model = ReconstructionTICA(network)
    trainer.fit(model, DataLoader(TensorDataset(images), options.batch_size, num_workers=0))
    found = {**sizes(model, trainer.optimizers[0]), "growth": largest() - before}
    found["start"] = start.largest - before
    (options.worker / f"{trainer.global_rank}.json").write_text(json.dumps(found))


class Start(Callback):
    """Keeps the most memory that was used until the first step."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Read it."""
        self.largest = largest()


def sizes(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, int]:
    """Return the bytes of this process's weights, and of their gradients and moments."""
    weights = list(model.parameters())
    states = [one for state in optimizer.state.values() for one in state.values()]
    others = [*(one.grad for one in weights), *(one for one in states if one.numel() > 1)]
    return {"weights": sum(map(here, weights)), "others": sum(map(here, others))}


def here(tensor: Any) -> int:
    """Return the bytes of a tensor that this process has."""
    local = tensor.to_local() if isinstance(tensor, DTensor) else tensor
    return int(local.numel() * local.element_size())


def resident() -> int:
    """Return the bytes of this process that are in memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def largest() -> int:
    """Return the most bytes of this process that were in memory at a time."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main()
