"""The checkpoint that a run is about to read, looked at before Lightning reads it."""

import functools
from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer

from lit_intriguing.tensor_files import check_archive


def check_checkpoint(trainer: Trainer) -> None:
    """Have the run's checkpoint checked when it is read; for a callback's `setup`.

    Lightning looks at no checksum: a bit that flipped on a disk would change a weight, a counter or
    a pool without a word. In `setup` it does not say yet which file it will read, so the strategy's
    next `load_checkpoint` looks at the file first, and raises `DamagedFileError` where it was cut
    or changed. A folder, or a file elsewhere than on a disk, is not looked at.

    Args:
        trainer: Of the run.
    """
    strategy: Any = trainer.strategy
    if "load_checkpoint" in vars(strategy):  # another callback asked
        return
    load = strategy.load_checkpoint

    def checked(checkpoint_path: Any, *args: Any, **options: Any) -> Any:
        del strategy.load_checkpoint
        if "://" not in str(checkpoint_path) and Path(checkpoint_path).is_file():
            state = Path(checkpoint_path).stat()
            _check(Path(checkpoint_path).resolve(), state.st_mtime_ns, state.st_size)
        return load(checkpoint_path, *args, **options)

    strategy.load_checkpoint = checked


@functools.lru_cache(maxsize=8)
def _check(path: Path, time: int, size: int) -> None:
    """Check a file once, however many callbacks ask."""
    check_archive(path, "take another copy of it, or an earlier checkpoint")
