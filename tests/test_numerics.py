"""Decisions for a whole process, each tried in a process of its own where it lasts."""

import os
import subprocess
import sys

import pytest
import torch

from lit_intriguing.numerics import keep_freed_memory, spare_search_for_gpus

FAULTS = """
import resource, torch
from lit_intriguing.numerics import keep_freed_memory
{call}
def step():
    return [torch.ones(6_000_000) for _ in range(4)]
step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(call: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", FAULTS.format(call=call)], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


@pytest.mark.skipif(not keep_freed_memory(), reason="the process does not allocate by glibc")
def test_freed_memory_serves_the_next_tensors() -> None:
    # Four tensors of 24 MB, made five times: 4 KB a page unless the system joins pages.
    assert faults("keep_freed_memory()") < faults("") / 4


@pytest.mark.parametrize(("gpus", "asked_by"), [(0, "0"), (2, "1")])
def test_gpus_are_not_searched_for_in_each_step_where_there_are_none(
    gpus: int, asked_by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTORCH_NVML_BASED_CUDA_CHECK", "1")  # as Lightning sets it
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    assert spare_search_for_gpus() == (not gpus)
    assert os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] == asked_by
