"""The checkpoint that a run is about to read, looked at before Lightning reads it."""

import functools
from pathlib import Path

from lightning.pytorch import Trainer

from lit_intriguing.tensor_files import check_archive


def check_checkpoint(trainer: Trainer) -> None:
    """Raise if the run's checkpoint is not as it was written; for a callback's `setup`.

    Lightning looks at no checksum: a bit that flipped on a disk would change a weight, a counter or
    a pool without a word. A folder, or a file elsewhere than on a disk, is not looked at.

    Args:
        trainer: Its `ckpt_path` says which.

    Raises:
        DamagedFileError: The file was cut or changed.
    """
    if trainer.ckpt_path is None or "://" in str(trainer.ckpt_path):
        return
    path = Path(trainer.ckpt_path)
    if path.is_file():
        state = path.stat()
        _check(path.resolve(), state.st_mtime_ns, state.st_size)


@functools.lru_cache(maxsize=8)
def _check(path: Path, time: int, size: int) -> None:
    """Check a file once, however many callbacks ask."""
    check_archive(path, "take another copy of it, or an earlier checkpoint")
