"""Trainings of several processes that start from a script of their own, as a user's do."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch.distributed as dist

STRATEGIES = {
    "one process": ("'auto'", 1),
    "replicated": ("DDPStrategy(start_method='fork')", 2),
    "sharded": ("ModelParallelStrategy(data_parallel_size=2, tensor_parallel_size=1)", 2),
}
"""The code of a strategy, and its number of processes."""


@contextmanager
def alone() -> Iterator[None]:
    """Leave no group of processes behind, nor the port of one in the environment."""
    before = dict(os.environ)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
        if dist.is_initialized():
            dist.destroy_process_group()


_SCRIPT = """
from pathlib import Path
from lightning.pytorch.strategies import DDPStrategy, ModelParallelStrategy
from {module} import train

if __name__ == "__main__":
    train(Path({folder!r}), {strategy}, {devices})
"""


def train_in(folder: Path, module: str, kind: str) -> Path:
    """Call `train(folder, strategy, devices)` of a test's module by a script; give the folder."""
    folder.mkdir()
    script = folder / "script.py"
    strategy, devices = STRATEGIES[kind]
    script.write_text(
        _SCRIPT.format(module=module, folder=str(folder), strategy=strategy, devices=devices)
    )
    done = subprocess.run(
        [sys.executable, str(script)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder
