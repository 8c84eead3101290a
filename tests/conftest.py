"""What all tests share: numerics as in the command line, and where real data lies."""

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# Parallel workers share the cores: a thread each, also for the processes that tests start. Torch
# reads it when it is imported.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

from lit_intriguing.numerics import flush_denormals

# As the command line does, before anything starts torch's worker threads.
flush_denormals()

# The same examples in each run of continuous integration; new ones elsewhere.
settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse names of tests that hold an address: parallel workers would not agree on them."""
    for item in items:
        if " at 0x" in item.nodeid:
            raise pytest.UsageError(f"give the parameters of {item.nodeid} ids without addresses")


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of `LIT_INTRIGUING_DATA`, which holds `MNIST/raw`; skips without it."""
    named = os.environ.get("LIT_INTRIGUING_DATA")
    if not named:
        pytest.skip("needs MNIST: set LIT_INTRIGUING_DATA to the folder that holds MNIST/raw")
    folder = Path(named)
    if not (folder / "MNIST" / "raw").is_dir():
        pytest.skip(f"needs MNIST: LIT_INTRIGUING_DATA={named} holds no MNIST/raw")
    return folder


@pytest.fixture
def no_group_left() -> Iterator[None]:
    """Free the groups of processes that a test made in this process.

    A process that is forked later would wait for ever for their threads, when its garbage collector
    meets them.
    """
    import torch.distributed as dist

    yield
    if dist.is_initialized():
        dist.destroy_process_group()
    gc.collect()
