"""A bit that flips in a file of ours gives no other values unnoticed.

`python -m tests.faults.bit_flips --flips 300` prints a table. Each file is made, then read by the
function that reads it in a command, with one bit flipped, at a random place each time.
"""

import argparse
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer
from torch import nn

from lit_intriguing import callbacks as ours
from lit_intriguing.attacks import GradientAttack
from lit_intriguing.commands.attack.output import read_examples
from lit_intriguing.commands.units.parts import Part, Parts
from lit_intriguing.data import Digits
from lit_intriguing.hosts.checkpoint_file import check_checkpoint
from lit_intriguing.models import Classifier
from lit_intriguing.models.weights import read_checkpoint
from lit_intriguing.sharded_files import read_sharded
from lit_intriguing.splits.resumable_store import Chunk, Store
from lit_intriguing.training_runs.store import Result, Run, RunStore, Stage
from lit_intriguing.units.directions_file import read_directions
from tests.faults.ends import leaves, same_leaves
from tests.faults.sharded import saved


@dataclass(frozen=True)
class Artefact:
    """A file, and how it is read.

    Attributes:
        path: The file.
        read: Returns its values, as a command does.
    """

    path: Path
    read: Callable[[], Any]


SETTINGS = {"attack": {"eps": 1.5}, "limit": 20}


def _columns() -> dict[str, torch.Tensor]:
    source = torch.Generator().manual_seed(0)
    return {
        "clean": torch.rand(20, 1, 8, 8, generator=source),
        "labels": torch.randint(10, (20,), generator=source),
        "attacked": torch.ones(20, dtype=torch.bool),
    }


def _chunk(folder: Path) -> Artefact:
    store = Store(folder)
    store.begin(SETTINGS)
    store.save(0, Chunk(_columns(), "source", 1.5))
    return Artefact(next(folder.glob("chunks/*.pt")), lambda: vars(store.load(0)))


def _finished(folder: Path, kind: str) -> Store:
    import numpy as np

    store = Store(folder)
    store.begin(SETTINGS)
    path = folder / f"examples.{kind}"
    if kind == "pt":
        torch.save(_columns(), path)
    else:
        np.savez(path, **{k: v.numpy() for k, v in _columns().items()})
    store.finish(["source"], [path.name], {"images": 20, "distortion": 0.0625, "error": 0.95})
    return store


def _examples(folder: Path, kind: str) -> Artefact:
    store = _finished(folder, kind)

    def read() -> Any:
        store.check(SETTINGS)  # as each command does first
        return dict(read_examples(folder, kind))

    return Artefact(folder / f"examples.{kind}", read)


def _manifest(folder: Path) -> Artefact:
    store = _finished(folder, "pt")

    def read() -> Any:
        store.check(SETTINGS)
        return store.finished

    return Artefact(folder / "manifest.json", read)


def _part(folder: Path) -> Artefact:
    folder.mkdir()
    parts = Parts(folder)
    scan = {"trained": {"values": torch.rand(40, 3), "counts": torch.arange(40)}}
    parts.save(Part(scan, {0: "source"}, {0: torch.arange(20)}))
    return Artefact(next(folder.glob("*.pt")), lambda: [vars(one) for one in parts.load()])


def _directions(folder: Path) -> Artefact:
    folder.mkdir()
    path = folder / "directions.pt"
    torch.save({"hidden1": torch.rand(6, 20)}, path)
    return Artefact(path, lambda: read_directions(str(path)))


def _run(folder: Path) -> Artefact:
    store, run = RunStore(folder), Run(Stage.FINAL, {"model": "Classifier", "seed": 3})
    store.save(run, Result(12.5, 0.0125))

    def read() -> Any:
        found = store.done(run)
        if found is None:
            raise ValueError("not done: trained again")
        return vars(found)

    return Artefact(store.path(run), read)


def _trainer(folder: Path, steps: int) -> Trainer:
    plan = ours.PerturbedLayer(GradientAttack(eps=0.3), pool=30, mix=6, refresh=6)
    reference = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    return Trainer(
        max_steps=steps, accelerator="cpu", logger=False, enable_progress_bar=False,
        enable_model_summary=False, enable_checkpointing=False, default_root_dir=folder,
        callbacks=[
            ours.AdversarialTraining({"": plan}), ours.ExactResume(),
            ours.TransferEvaluation(GradientAttack(0.3), {"other": reference}, examples=4),
        ],
    )  # fmt: skip


def write_checkpoint(path: Path) -> None:
    """Train for four steps with callbacks of ours, and save a checkpoint of Lightning's."""
    torch.manual_seed(0)
    trainer = _trainer(path.parent, 4)
    trainer.fit(Classifier([64, 12, 10]), datamodule=Digits(batch_size=300))
    trainer.save_checkpoint(path)


def _checkpoint(folder: Path, in_command: bool) -> Artefact:
    folder.mkdir()
    path = folder / "last.ckpt"
    write_checkpoint(path)
    going_on = _trainer(folder, 4)

    def read_in_python() -> Any:
        check_checkpoint(going_on)  # what each callback of ours does in `setup`
        return going_on.strategy.load_checkpoint(path, weights_only=True)  # as Lightning does next

    return Artefact(path, (lambda: read_checkpoint(path)) if in_command else read_in_python)


def _sharded(folder: Path, name: str) -> Artefact:
    saved(folder)
    return Artefact(folder / name, lambda: read_sharded(folder, "take another copy"))


ARTEFACTS: dict[str, Callable[[Path], Artefact]] = {
    "chunk of attack, transfer, probe": _chunk,
    "examples.pt": lambda folder: _examples(folder, "pt"),
    "examples.npz": lambda folder: _examples(folder, "npz"),
    "manifest.json": _manifest,
    "part of a scan of units": _part,
    "file of directions": _directions,
    "result of a run of ablate": _run,
    "checkpoint, by the command line": lambda folder: _checkpoint(folder, True),
    "checkpoint, by Trainer.fit": lambda folder: _checkpoint(folder, False),
    "shard of a sharded checkpoint": lambda folder: _sharded(folder, "__0_0.distcp"),
    "index of one": lambda folder: _sharded(folder, ".metadata"),
    "meta.pt of one": lambda folder: _sharded(folder, "meta.pt"),
}


def flip(artefact: Artefact, flips: int, source: random.Random) -> Counter[str]:
    """Flip single bits of a file; put it back each time.

    Returns:
        How many were `noticed`, gave the `same` values, or `other` ones, which is a fault.
    """
    whole = artefact.path.read_bytes()
    expected = dict(leaves("", artefact.read()))
    found: Counter[str] = Counter()
    for _ in range(flips):
        place = source.randrange(8 * len(whole))
        changed = bytearray(whole)
        changed[place // 8] ^= 1 << place % 8
        artefact.path.write_bytes(changed)
        try:
            values = dict(leaves("", artefact.read()))
        except Exception:  # one line of ours, or torch's of a file that is none any more
            found["noticed"] += 1
        else:
            found["same" if same_leaves(values, expected) else "other"] += 1
    artefact.path.write_bytes(whole)
    return found


def main() -> None:
    """Print what became of the flips of each file; status 1 where one gave other values."""
    parser = argparse.ArgumentParser("python -m tests.faults.bit_flips", description=__doc__)
    parser.add_argument("--flips", type=int, default=300, help="of each file")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print(
        "| file | bytes | noticed | same values | other values |", "|---|---|---|---|---|", sep="\n"
    )
    bad = 0
    for name, make in ARTEFACTS.items():
        with tempfile.TemporaryDirectory() as folder:
            artefact = make(Path(folder) / "made")
            size = artefact.path.stat().st_size
            found = flip(artefact, options.flips, random.Random(options.seed))
        bad += found["other"]
        print(f"| {name} | {size} | {found['noticed']} | {found['same']} | {found['other']} |")
    sys.exit(min(bad, 1))


if __name__ == "__main__":
    main()
