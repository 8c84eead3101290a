"""What our callbacks send between processes, in bytes, beside the gradients of DDP.

The network 64-100-100-10 trains on scikit-learn's digits under `ddp_fork`, with one callback at a
time. Linux counts the bytes that each TCP connection of a process has sent, those of gloo among
them; what a process sends is read between the beginnings of two steps, so that it is all that
crosses the wire, whoever sends it. Given are bytes a process, of the process that sends most:

- a step: the median over the steps but the first;
- the first step: what it sends more than that, as examples are tried out there;
- an epoch's end: likewise, measurements, logs and a validation among it;
- a checkpoint: sent by all processes together, which one of them receives.

The step of global pools is given beside a formula of the number of processes. Run it with

    OMP_NUM_THREADS=1 python recipes/bench/wire.py --processes 2
"""

import argparse
import itertools
import logging
import os
import socket
import statistics
import struct
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer, seed_everything
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.strategies import DDPStrategy

from lit_intriguing.attacks import GradientAttack
from lit_intriguing.callbacks import (
    AdversarialExamples,
    AdversarialTraining,
    ExactResume,
    LipschitzMonitor,
    MovingAverage,
    PerturbedLayer,
    TransferEvaluation,
)
from lit_intriguing.data import Digits
from lit_intriguing.models import Classifier

FEATURES, CLASSES = 64, 10
EPOCHS, STEPS = 3, 8
SENT = struct.Struct("<Q")
SENT_AT = 120
"""Where Linux has the bytes that were sent and received in its `tcp_info`, each counted once."""


def bytes_sent() -> int:
    """Return what all TCP connections of this process have sent."""
    total = 0
    for number in os.listdir("/proc/self/fd"):
        try:
            if not os.readlink(f"/proc/self/fd/{number}").startswith("socket:"):
                continue
            with socket.socket(fileno=os.dup(int(number))) as one:
                info = one.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
        except OSError:  # closed by now, or none of TCP
            continue
        if len(info) >= SENT_AT + SENT.size:
            total += int(SENT.unpack_from(info, SENT_AT)[0])
    return total


class Wire(Callback):
    """Keeps what was sent at the beginning of each step, and by a checkpoint, in a file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.steps: list[int] = []

    def on_train_batch_start(self, trainer: Trainer, *_: Any) -> None:
        """Count."""
        self.steps.append(bytes_sent())

    def on_train_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Count a checkpoint; it is saved after all else."""
        trainer.strategy.barrier()
        before = bytes_sent()
        trainer.save_checkpoint(self.folder / "last.ckpt")
        found = {"steps": self.steps, "checkpoint": bytes_sent() - before}
        torch.save(found, self.folder / f"{trainer.global_rank}.pt")


def pools(batch: int, shared: bool) -> AdversarialTraining:
    """Return adversarial training of the input and a hidden layer, each as many rows a step."""
    options: dict[str, Any] = {"pool": 1000, "mix": batch, "refresh": batch}
    layers = {
        "": PerturbedLayer(GradientAttack(0.6), **options),
        "hidden1": PerturbedLayer(GradientAttack(0.06), relative=True, at_layer=True, **options),
    }
    return AdversarialTraining(layers, global_pools=shared)


def measured(callbacks: list[Callback], processes: int, batch: int) -> list[dict[str, Any]]:
    """Train and return what each process has counted."""
    seed_everything(0)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            accelerator="cpu", devices=processes, strategy=DDPStrategy(start_method="fork"),
            callbacks=[Wire(Path(folder)), *callbacks], logger=CSVLogger(folder),
            max_epochs=EPOCHS, limit_train_batches=STEPS, log_every_n_steps=4,
            num_sanity_val_steps=0, enable_checkpointing=False, enable_progress_bar=False,
            enable_model_summary=False,
        )  # fmt: skip
        model = Classifier(widths=[FEATURES, 100, 100, CLASSES])
        trainer.fit(model, Digits(batch_size=batch // processes, drop_last=True))
        return [torch.load(Path(folder, f"{rank}.pt")) for rank in range(processes)]


def row(counted: list[dict[str, Any]]) -> dict[str, int]:
    """Return what a process sends at most, and all of them by a checkpoint."""
    each = [_of_process(one["steps"]) for one in counted]
    most = {name: max(one[name] for one in each) for name in each[0]}
    return {**most, "checkpoint": sum(one["checkpoint"] for one in counted)}


def _of_process(steps: list[int]) -> dict[str, int]:
    sent = [after - before for before, after in itertools.pairwise(steps)]
    within = [one for k, one in enumerate(sent) if k and (k + 1) % STEPS]
    step = int(statistics.median(within))
    ends = [one for k, one in enumerate(sent) if (k + 1) % STEPS == 0]
    return {"step": step, "first": sent[0] - step, "epoch": int(statistics.mean(ends)) - step}


def formula(processes: int, batch: int) -> float:
    """Return the bytes that a process sends in a step for the global pools of `pools`.

    Rows are gathered where they are made and sent on around the ring of processes; a sum goes
    around twice. Each row has a label and its step in 8 bytes each.
    """
    once, twice = (processes - 1) / processes, 2 * (processes - 1) / processes
    rows = batch * (4 * FEATURES + 16) + batch * (4 * 100 + 16)
    goals = batch * (8 + 4 * CLASSES)  # both layers have one goal
    spread = 8 * (100 + 2)
    counts = 16 * (processes - 1)
    return once * (rows + goals) + twice * spread + counts


def main() -> None:
    """Print the table."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--processes", type=int, default=2)
    options.add_argument("--batch", type=int, default=128, help="rows of all processes in a step")
    chosen = options.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    attack = GradientAttack(0.6)
    makers: dict[str, Callable[[], list[Callback]]] = {
        "none: gradients alone": lambda: [],
        "AdversarialTraining": lambda: [pools(chosen.batch // chosen.processes, False)],
        "AdversarialTraining, global_pools": lambda: [pools(chosen.batch, True)],
        "ExactResume": lambda: [ExactResume()],
        "TransferEvaluation": lambda: [TransferEvaluation(attack, every_n_epochs=1)],
        "AdversarialExamples": lambda: [AdversarialExamples(attack, every_n_epochs=1)],
        "LipschitzMonitor": lambda: [LipschitzMonitor(every_n_steps=4)],
        "MovingAverage": lambda: [MovingAverage()],
    }
    print(f"{chosen.processes} processes, batch of {chosen.batch}")
    print(f"{'callback':34} {'a step':>9} {'first step':>11} {'epoch end':>10} {'checkpoint':>11}")
    alone = None
    for name, make in makers.items():
        found = row(measured(make(), chosen.processes, chosen.batch))
        alone = alone or found
        more = found if found is alone else {k: v - alone[k] for k, v in found.items()}
        cells = f"{more['step']:9,} {more['first']:11,} {more['epoch']:10,}"
        print(f"{name:34} {cells} {more['checkpoint']:11,}", flush=True)
    print(f"formula of global_pools, a step: {formula(chosen.processes, chosen.batch):,.0f}")


if __name__ == "__main__":
    main()
