"""Sharded checkpoints that are saved whole or not at all."""

import shutil
from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer

from lit_intriguing.private.of_lightning import saves_shards


def save_whole(trainer: Trainer) -> None:
    """Have sharded checkpoints written beside their place and then moved there.

    Lightning and torch write the files of a folder one by one, also over those of an earlier
    checkpoint of that name (`last.ckpt`): a run killed meanwhile leaves shards of two moments,
    which no checksum tells apart. The folder is written as `<name>.part` here.

    Args:
        trainer: Of a run under `ModelParallelStrategy`.
    """
    strategy: Any = trainer.strategy
    if not saves_shards(strategy) or "save_checkpoint" in vars(strategy):
        return
    save = strategy.save_checkpoint

    def whole(checkpoint: dict[str, Any], filepath: Any, *args: Any, **options: Any) -> None:
        path = Path(strategy.broadcast(filepath))
        part = path.with_name(f"{path.name}.part")
        if trainer.is_global_zero:
            _remove(part)
        strategy.barrier("part")
        save(checkpoint, part, *args, **options)
        strategy.barrier("whole")
        if trainer.is_global_zero:
            _replace(path, part)
        strategy.barrier("moved")

    strategy.save_checkpoint = whole


def _replace(path: Path, new: Path) -> None:
    old = path.with_name(f"{path.name}.old")
    _remove(old)
    if path.exists():
        path.rename(old)
    new.rename(path)
    _remove(old)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
