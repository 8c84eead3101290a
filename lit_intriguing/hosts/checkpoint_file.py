"""The checkpoint that a run is about to read, looked at before Lightning reads it.

What sharded checkpoints need is imported where there is one: few runs have it.
"""

import functools
from pathlib import Path
from typing import Any

import torch.distributed as dist
from lightning.pytorch import Callback, LightningModule, Trainer

from lit_intriguing.errors import UserError
from lit_intriguing.hosts.sharding import reads_shards, shards_layers
from lit_intriguing.sharded_folder import is_sharded
from lit_intriguing.tensor_files import check_archive

_WAY_OUT = "take another copy of it, or an earlier checkpoint"


class CheckpointCheck(Callback):
    """Has the checkpoint of each run checked when it is read; see `check_checkpoint`.

    It is for runs without a callback of ours that does so.
    """

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Have the next checkpoint checked."""
        check_checkpoint(trainer)


def check_checkpoint(trainer: Trainer) -> None:
    """Have the run's checkpoint checked when it is read; for a callback's `setup`.

    Lightning looks at no checksum: a bit that flipped on a disk would change a weight, a counter or
    a pool without a word. In `setup` it does not say yet which file it will read, so the strategy's
    next `load_checkpoint` looks at the file first, and raises `DamagedFileError` where it was cut
    or changed. A file elsewhere than on a disk is not looked at.

    The folder of a sharded checkpoint is looked at likewise, each process at its part. A strategy
    that does not shard gets it put together, as if it were one file. Those that the run writes are
    whole or not there (`save_whole`).

    Args:
        trainer: Of the run.
    """
    strategy: Any = trainer.strategy
    if shards_layers(strategy):
        from lit_intriguing.hosts.sharded_saves import save_whole

        save_whole(trainer)
    if "load_checkpoint" in vars(strategy):  # another callback asked
        return
    load = strategy.load_checkpoint

    def checked(checkpoint_path: Any, *args: Any, **options: Any) -> Any:
        del strategy.load_checkpoint
        path = Path(checkpoint_path)
        if "://" not in str(checkpoint_path) and is_sharded(path):
            safe = options.get("weights_only") is not False
            if not reads_shards(strategy):
                from lit_intriguing.sharded_files import read_sharded

                return read_sharded(path, _WAY_OUT, weights_only=safe)
            _check_together(path, safe)
            _check_model(path, trainer.lightning_module)
        elif "://" not in str(checkpoint_path) and path.is_file():
            state = path.stat()
            _check(path.resolve(), state.st_mtime_ns, state.st_size)
        return load(checkpoint_path, *args, **options)

    strategy.load_checkpoint = checked


def _check_together(folder: Path, weights_only: bool) -> None:
    """Have each process check its part of a sharded checkpoint; all raise where one does."""
    from lit_intriguing.sharded_files import check_sharded

    rank, world = dist.get_rank(), dist.get_world_size()
    error: UserError | None = None
    try:
        check_sharded(folder, _WAY_OUT, weights_only=weights_only, process=rank, processes=world)
    except UserError as found:
        error = found
    errors: list[UserError | None] = [None] * world
    dist.all_gather_object(errors, error)
    for one in filter(None, errors):
        raise one


def _check_model(folder: Path, module: LightningModule) -> None:
    """Refuse the weights of another model, for which torch has an error of many lines."""
    from lit_intriguing.misfit import misfit
    from lit_intriguing.sharded_files import weights_in

    found = misfit(module, weights_in(folder, _WAY_OUT)) if module.strict_loading else ""
    if found:
        raise UserError(f"the checkpoint {folder} is not of this model: {found}")


@functools.lru_cache(maxsize=8)
def _check(path: Path, time: int, size: int) -> None:
    """Check a file once, however many callbacks ask."""
    check_archive(path, _WAY_OUT)
