"""Ctrl-C: how to go on afterwards."""

import shlex
from collections.abc import Iterator
from pathlib import Path

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.trainer.states import TrainerFn

from lit_intriguing.errors import InterruptedRunError

__all__ = ["InterruptedRunError", "newest_checkpoint", "sentence"]


def sentence(trainer: Trainer) -> str:
    """Says how to go on, with the newest checkpoint on disk where there is one."""
    if trainer.state.fn != TrainerFn.FITTING:
        return "interrupted."
    checkpoint = newest_checkpoint(trainer)
    if checkpoint is None:
        return "interrupted. No checkpoint was kept: the same command begins again."
    path = shlex.quote(str(checkpoint))
    return f"interrupted. To go on, repeat the command with --ckpt_path {path}"


def newest_checkpoint(trainer: Trainer) -> Path | None:
    """Finds the checkpoint written last among those that the trainer's callbacks name."""
    paths = {Path(p) for c in trainer.checkpoint_callbacks for p in _named_by(c) if p}
    there = [p for p in paths if p.exists()]
    # Copies such as last.ckpt may share a time with their original: the name decides then.
    return max(there, key=lambda p: (p.stat().st_mtime_ns, p.name), default=None)


def _named_by(callback: Checkpoint) -> Iterator[str]:
    # The last one is neither the best nor `last.ckpt` where it was written for an exception.
    for name in ("last_model_path", "best_model_path", "_last_checkpoint_saved"):
        yield str(getattr(callback, name, ""))
