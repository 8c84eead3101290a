"""Decisions for a whole process, each tried in a process of its own where it lasts."""

import ctypes
import os
import subprocess
import sys

import pytest
import torch

from lit_intriguing.numerics import spare_search_for_gpus

KEPT = """
import ctypes, torch
from lit_intriguing.numerics import keep_freed_memory
class Info(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in [*"abcdefgh", "free", "top"]]
info = ctypes.CDLL(None).mallinfo2
info.restype = Info
{call}
tensors = [torch.ones(1_000_000) for _ in range(20)]
tensors.clear()
print(info().free)
"""


def kept(call: str) -> int:
    """Return the bytes that a process has kept of 80 MB that it has freed."""
    done = subprocess.run(
        [sys.executable, "-c", KEPT.format(call=call)], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


@pytest.mark.skipif(
    not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="glibc does not tell what it keeps"
)
def test_freed_memory_is_kept_for_the_next_tensors() -> None:
    assert kept("") < 40e6
    assert kept("keep_freed_memory()") > 75e6


@pytest.mark.parametrize(("gpus", "asked_by"), [(0, "0"), (2, "1")])
def test_gpus_are_not_searched_for_in_each_step_where_there_are_none(
    gpus: int, asked_by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTORCH_NVML_BASED_CUDA_CHECK", "1")  # as Lightning sets it
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    assert spare_search_for_gpus() == (not gpus)
    assert os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] == asked_by
