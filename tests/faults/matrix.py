"""Callbacks that measure leave no trace: every pair of settings of a run, in a few runs.

`python -m tests.faults.matrix` prints the table. Each cell trains the same digits network without
and with all measuring callbacks at once, and compares on every process weights, buffers, the
optimiser's state and the random states of Python, NumPy and torch, bit for bit.
"""

import random
import subprocess
import sys
import tempfile
import traceback
import warnings
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from allpairspy import AllPairs
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.strategies import DDPStrategy, ModelParallelStrategy
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils._pytree import tree_map
from torch.utils.data import DataLoader, TensorDataset

from lit_intriguing import callbacks as ours
from lit_intriguing.attacks import BoxLBFGS, GradientAttack
from lit_intriguing.data import Digits, TensorLoader
from tests.faults.ends import differences

SECONDS = 600
"""Limit of a cell."""

LEVELS: dict[str, list[str]] = {
    "strategy": ["one process", "ddp_fork", "ddp_spawn", "ddp", "fsdp2"],
    "precision": ["32-true", "bf16-mixed", "bf16-true", "64-true"],
    "compiled": ["no", "whole", "body"],
    "accumulation": ["1", "2"],
    "normalisation": ["none", "batch"],
    "dropout": ["0", "0.5"],
    "references": ["none", "with dropout"],
    "training": ["plain", "adversarial"],
    "loader": ["tensors", "DataLoader"],
}


@dataclass(frozen=True)
class Cell:
    """One level of each setting; see `LEVELS`."""

    strategy: str
    precision: str
    compiled: str
    accumulation: str
    normalisation: str
    dropout: str
    references: str
    training: str
    loader: str

    @property
    def words(self) -> list[str]:
        return [str(getattr(self, one.name)) for one in fields(self)]


def covering_cells() -> list[Cell]:
    """Return few cells in which each two levels of two settings come together at least once."""
    return [Cell(*levels) for levels in AllPairs(list(LEVELS.values()))]


class Host(LightningModule):
    """A small network on the digits that knows nothing of us."""

    def __init__(self, cell: Cell) -> None:
        super().__init__()
        self.cell = cell
        norm = [nn.BatchNorm1d(24)] if cell.normalisation == "batch" else []
        body = [nn.Linear(64, 24), *norm, nn.ReLU(), nn.Dropout(float(cell.dropout))]
        self.body = nn.Sequential(nn.Flatten(), *body)
        self.head = nn.Linear(24, 10)

    def configure_model(self) -> None:
        if self.cell.strategy == "fsdp2":
            from torch.distributed.fsdp import fully_shard

            fully_shard(self.head, mesh=self.device_mesh["data_parallel"])
            fully_shard(self, mesh=self.device_mesh["data_parallel"])

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x))

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return cross_entropy(self(batch[0]), batch[1])

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val/loss", cross_entropy(self(batch[0]), batch[1]), sync_dist=True)

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.parameters(), lr=0.01)


class Record(Callback):
    """Writes each process's final state."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # Here, as starting the processes draws random numbers.
        for seed in (random.seed, np.random.seed, torch.manual_seed):
            seed(1 + trainer.global_rank)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        local = tree_map(_local, (pl_module.state_dict(), trainer.optimizers[0].state_dict()))
        numpy: Any = np.random.get_state()
        states = {"torch": torch.get_rng_state(), "numpy": torch.tensor(numpy[1].astype(int))}
        states["python"] = torch.tensor(random.getstate()[1])
        self.folder.mkdir(parents=True, exist_ok=True)
        content = {"weights": local[0], "optimizer": local[1], "random": states}
        torch.save(content, self.folder / f"{trainer.global_rank}.pt")


def _local(value: Any) -> Any:
    """Return a process's part of a tensor."""
    return value.to_local().clone() if hasattr(value, "to_local") else value


def measuring(cell: Cell) -> list[Callback]:
    """Return all measuring callbacks."""
    attack = GradientAttack(eps=0.3, steps=2)
    references = {"other": nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(64, 10))}
    given = references if cell.references != "none" else {}
    last: list[Callback] = [ours.TrainingError()] if cell.loader == "tensors" else []
    return [
        ours.AdversarialExamples(attack, examples=4, every_n_steps=2),
        ours.AdversarialExamples(attack, examples=4, layer="body", name="hidden"),
        ours.TransferEvaluation(attack, given, examples=4, every_n_steps=2),
        ours.LipschitzMonitor(every_n_steps=2),
        ours.RobustnessEvaluation(
            {"nearest": BoxLBFGS(random_starts=1), "pgd": attack}, {"l2": [0.3]},
            examples=4, every_n_steps=2,
        ),
        ours.UnitAnalysis(["body"], examples=60, rotations=2),
        *last,
    ]  # fmt: skip


def _strategy(name: str) -> Any:
    if name.startswith("ddp"):
        method = {"ddp_fork": "fork", "ddp_spawn": "spawn", "ddp": "popen"}[name]
        return DDPStrategy(start_method=method, process_group_backend="gloo")
    if name == "fsdp2":
        return ModelParallelStrategy(data_parallel_size=2, tensor_parallel_size=1)
    return "auto"


def _loaders(cell: Cell) -> tuple[Any, Any]:
    data = Digits(validation=100)
    data.prepare_data()
    data.setup("fit")
    train, held_out = data.load_training()
    assert held_out is not None
    rows = train.inputs[:240], train.labels[:240]
    if cell.loader == "tensors":
        training: Any = TensorLoader(*rows, 30, shuffle=True)
    else:
        training = DataLoader(TensorDataset(*rows), 30, shuffle=True)
    return training, DataLoader(TensorDataset(held_out.inputs, held_out.labels), 50)


def train(cell: Cell, folder: Path, with_callbacks: bool) -> None:
    """Train once; each process writes what it ends with."""
    torch.manual_seed(0)
    model = Host(cell)
    if cell.compiled == "body":
        model.body.compile(backend="aot_eager")
    elif cell.compiled == "whole":
        model = torch.compile(model, backend="aot_eager")
    plan = ours.PerturbedLayer(GradientAttack(eps=0.3), pool=30, mix=6, refresh=6)
    inside = ours.PerturbedLayer(GradientAttack(eps=0.3), pool=30, mix=6, refresh=6, relative=True)
    adversarial = [ours.AdversarialTraining({"": plan, "body": inside})]
    callbacks: list[Callback] = adversarial if cell.training == "adversarial" else []
    Trainer(
        accelerator="cpu", devices=1 if cell.strategy == "one process" else 2,
        strategy=_strategy(cell.strategy), precision=cell.precision,
        accumulate_grad_batches=int(cell.accumulation), max_epochs=2, logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        default_root_dir=folder, log_every_n_steps=2,
        callbacks=[*callbacks, *(measuring(cell) if with_callbacks else []), Record(folder)],
    ).fit(model, *_loaders(cell))  # fmt: skip


def differing(one: Path, other: Path) -> list[str]:
    """Return what two runs ended with that is not the same bit for bit, on any process."""
    names = sorted(path.name for path in one.glob("*.pt"))
    if not names or names != sorted(path.name for path in other.glob("*.pt")):
        return [f"processes: {names}"]
    return [f"{name}: {value}" for name in names for value in differences(one / name, other / name)]


@dataclass(frozen=True)
class Verdict:
    """What became of a cell: `same`, `refused`, `host` (fails by itself) or `fault`."""

    word: str
    details: str = ""


def try_out(cell: Cell, folder: Path) -> Verdict:
    """Run a cell in processes of its own, without and then with the callbacks."""
    command = [sys.executable, "-m", "tests.faults.matrix", str(folder), *cell.words]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return Verdict("fault", f"no end in {SECONDS} s")
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["nothing said"])[-1]
        if not list((folder / "without").glob("*.pt")):
            return Verdict("host", last)
        return Verdict("refused" if "errors." in last else "fault", last)
    found = differing(folder / "without", folder / "with")
    return Verdict("fault", "differ: " + ", ".join(found[:4])) if found else Verdict("same")


def main() -> None:
    """Print each cell and what became of it; status 1 where there is a fault."""
    faults = 0
    print("|", " | ".join(LEVELS), "| result |")
    print("|", " | ".join("---" for _ in LEVELS), "| --- |")
    for cell in covering_cells():
        with tempfile.TemporaryDirectory() as folder:
            verdict = try_out(cell, Path(folder))
        faults += verdict.word == "fault"
        result = ": ".join(filter(None, (verdict.word, verdict.details)))
        print("|", " | ".join(cell.words), f"| {result} |", flush=True)
    sys.exit(min(faults, 1))


def _run_both(folder: str, *words: str) -> None:
    warnings.simplefilter("ignore")
    try:
        for kind in ("without", "with"):
            train(Cell(*words), Path(folder, kind), kind == "with")
    except Exception:
        traceback.print_exc()
        sys.exit(1)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        _run_both(*sys.argv[1:])
    else:
        main()
