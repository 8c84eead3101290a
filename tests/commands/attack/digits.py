"""A network trained on the small digits in a second, and the command that attacks it."""

import functools
import os
import signal
import subprocess
import sys
from pathlib import Path

import torch
from lightning.pytorch import Trainer, seed_everything

from lit_intriguing import cli
from lit_intriguing.data import Digits
from lit_intriguing.models import Classifier

ROOT = Path(__file__).parents[3]
QUIET = {
    "logger": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "accelerator": "cpu",
}


def checkpoint(folder: Path) -> Path:
    """Trains a 64-16-10 network for a few epochs and saves it."""
    seed_everything(0, verbose=False)
    trainer = Trainer(max_epochs=4, enable_checkpointing=False, **QUIET)
    trainer.fit(Classifier(widths=(64, 16, 10)), Digits())
    trainer.save_checkpoint(folder / "digits.ckpt")
    return folder / "digits.ckpt"


def words(weights: Path | None, *options: str) -> list[str]:
    """The words of a command; later options win."""
    return [
        "attack",
        "--model=Classifier",
        "--model.widths=[64, 16, 10]",
        "--data=Digits",
        "--attack=GradientAttack",
        "--attack.eps=0.8",
        "--attack.steps=5",
        "--chunk=64",
        *(f"--trainer.{name}={str(value).lower()}" for name, value in QUIET.items()),
        *([] if weights is None else [f"--ckpt_path={weights}"]),
        *options,
    ]


def attack(weights: Path | None, *options: str) -> None:
    """Runs the command in this process."""
    cli.main(words(weights, *options))


def process(weights: Path | None, *options: str) -> subprocess.Popen[str]:
    """Starts the command as a process of its own, on one thread."""
    return subprocess.Popen(
        [sys.executable, "-m", "lit_intriguing", *words(weights, *options)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        # A shell's background jobs ignore Ctrl-C, and so would this child.
        preexec_fn=functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )


def same(first: Path, second: Path) -> bool:
    """Tells whether two files of examples hold the same bits."""
    one, other = (torch.load(path / "examples.pt", weights_only=True) for path in (first, second))
    assert len(one["labels"]) > 0
    return one.keys() == other.keys() and all(
        one[name].dtype == other[name].dtype and one[name].equal(other[name]) for name in one
    )
