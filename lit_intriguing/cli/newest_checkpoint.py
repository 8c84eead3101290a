"""The checkpoint that a restarted run goes on from by itself."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn

from lit_intriguing.cli.subcommands import NEWEST
from lit_intriguing.errors import UserError
from lit_intriguing.models.weights import read_checkpoint
from lit_intriguing.sharded_files import check_sharded
from lit_intriguing.sharded_folder import is_sharded


def newest_checkpoint(trainer: Trainer, weights_only: bool = True) -> Path | None:
    """Return the newest whole checkpoint where those of a run go, and say which; None if none.

    A file that a kill has cut short is left out, with a warning. Every process finds the same, if
    all see the same files.

    Args:
        trainer: With the run's callbacks and loggers, before the run.
        weights_only: Whether a checkpoint may hold only tensors and plain values.
    """
    files = [file for folder in _folders(trainer) for file in folder.glob("*.ckpt")]
    path = newest_of(files, _warn_of, weights_only)
    begins = "there is no checkpoint yet, the run begins"
    rank_zero_info(f"ckpt_path={NEWEST}: {begins if path is None else path}.")
    return path


def newest_of(
    files: Iterable[Path], damaged: Callable[[Path, UserError], None], weights_only: bool = True
) -> Path | None:
    """Return the newest file that a run can go on from.

    Args:
        files: Checkpoints.
        damaged: Is told of each newer one that cannot be read, and why.
        weights_only: See `newest_checkpoint`.
    """
    for path in sorted(files, key=lambda one: one.stat().st_mtime_ns, reverse=True):
        try:
            if is_sharded(path):
                check_sharded(path, "it is left out", weights_only=weights_only)
                return path
            content = read_checkpoint(path, weights_only)
        except UserError as error:
            damaged(path, error)
            continue
        if "optimizer_states" in content:  # else weights alone
            return path
    return None


def _folders(trainer: Trainer) -> Iterator[Path]:
    """Yield where `ModelCheckpoint` puts files, of any version: a restart begins another one."""
    given = [
        one.dirpath for one in trainer.checkpoint_callbacks if isinstance(one, ModelCheckpoint)
    ]
    yield from (Path(one) for one in given if one is not None)
    if None not in given:
        return
    if not trainer.loggers:
        yield Path(trainer.default_root_dir, "checkpoints")
        return
    logger = trainer.loggers[0]
    run = Path(logger.save_dir or trainer.default_root_dir, str(logger.name))
    yield from run.glob("*/checkpoints")


def _warn_of(path: Path, error: UserError) -> None:
    rank_zero_warn(f"ckpt_path={NEWEST} takes an earlier checkpoint than {path}: {error}")
