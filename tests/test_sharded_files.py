"""Sharded checkpoints: read as one file, and refused where a file is missing or changed."""

import os
import pickle
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from lit_intriguing.errors import DamagedFileError, UserError
from lit_intriguing.models.weights import read_checkpoint, read_options
from lit_intriguing.sharded_files import check_sharded, read_sharded, weights_in
from lit_intriguing.sharded_folder import is_sharded, what_is_missing
from tests.faults.sharded import saved

pytestmark = pytest.mark.filterwarnings("ignore:torch.distributed is")

WAY_OUT = "take another copy of it"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return saved(tmp_path / "last.ckpt")


def test_a_folder_is_read_as_the_file_of_one_process(folder: Path) -> None:
    content = read_checkpoint(folder)
    model = nn.Linear(3, 2)
    model.load_state_dict(content["state_dict"])
    optimizer = torch.optim.Adam(model.parameters(), lr=0.5)
    optimizer.load_state_dict(content["optimizer_states"][0])
    assert optimizer.param_groups[0]["lr"] == 0.25
    assert float(optimizer.state[model.bias]["exp_avg"][0]) == pytest.approx(0.1)
    assert content["global_step"] == 3
    assert torch.equal(content["callbacks"]["ours"]["0"]["pool"], torch.arange(4.0))


def test_what_is_beside_the_tensors_is_read_without_them(folder: Path) -> None:
    content = read_options(folder)
    assert content["global_step"] == 3
    assert (content["state_dict"], content["optimizer_states"]) == ({}, [])
    assert {n: tuple(one.shape) for n, one in weights_in(folder, WAY_OUT).items()} == {
        "weight": (2, 3),
        "bias": (2,),
    }


@pytest.mark.parametrize("pattern", [".metadata", "meta.pt", "*.distcp"])
def test_a_folder_that_lacks_a_file_is_incomplete(pattern: str, folder: Path) -> None:
    for path in folder.glob(pattern):
        path.unlink()
    assert is_sharded(folder)
    assert what_is_missing(folder) == pattern
    words = f"is an incomplete sharded checkpoint.* no {re.escape(pattern)}.*: {WAY_OUT}"
    with pytest.raises(DamagedFileError, match=words):
        read_checkpoint(folder)


def test_other_folders_and_files_are_no_sharded_checkpoints(tmp_path: Path) -> None:
    (tmp_path / "last.ckpt").touch()
    assert not is_sharded(tmp_path)
    assert not is_sharded(tmp_path / "last.ckpt")


def test_a_shard_that_was_cut_is_damaged(folder: Path) -> None:
    (path,) = folder.glob("*.distcp")
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DamagedFileError, match=rf"{path.name} is damaged .*{WAY_OUT}"):
        read_sharded(folder, WAY_OUT)


class Code:
    """Runs a command where it is unpickled."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.system, (self.command,))


def test_an_index_that_runs_code_is_refused_and_does_not_run(folder: Path) -> None:
    trace = folder.parent / "ran"
    (folder / ".metadata").write_bytes(pickle.dumps(Code(f"touch {trace}")))
    with pytest.raises(DamagedFileError, match=r"it names posix\.system"):
        read_checkpoint(folder)
    assert not trace.exists()


def test_a_value_that_runs_code_is_refused_and_does_not_run(tmp_path: Path) -> None:
    trace = tmp_path / "ran"
    folder = saved(tmp_path / "last.ckpt", extra={"value": Code(f"touch {trace}")})
    trace.unlink(missing_ok=True)
    with pytest.raises(UserError, match=r"more than tensors .*--weights_only=false reads it"):
        read_checkpoint(folder)
    assert not trace.exists()


def _shift(index: Any) -> None:
    (chunk,) = index.state_dict_metadata["state_dict.weight"].chunks
    chunk.sizes = torch.Size([1, 3])


def _rename(index: Any) -> None:
    index.planner_data["state_dict.weight"] = ("state_dict", "wright")


def _lose(index: Any) -> None:
    del index.storage_data[next(k for k in index.storage_data if k.fqn == "state_dict.bias")]


@pytest.mark.parametrize("change", [_shift, _rename, _lose])
def test_an_index_whose_parts_contradict_each_other_is_damaged(
    change: Callable[[Any], None], folder: Path
) -> None:
    path = folder / ".metadata"
    index = pickle.loads(path.read_bytes())
    change(index)
    path.write_bytes(pickle.dumps(index))
    with pytest.raises(DamagedFileError, match=WAY_OUT):
        check_sharded(folder, WAY_OUT)


def test_each_of_several_processes_checks_its_part(folder: Path) -> None:
    (path,) = folder.glob("*.distcp")
    content = bytearray(path.read_bytes())
    weight = read_sharded(folder, WAY_OUT)["state_dict"]["weight"]
    content[content.find(weight.numpy().tobytes())] ^= 1
    path.write_bytes(content)
    refused = 0
    for process in range(3):
        copy = folder.with_name(f"{process}.ckpt")
        shutil.copytree(folder, copy)
        try:
            check_sharded(copy, WAY_OUT, process=process, processes=3)
        except DamagedFileError:
            refused += 1
    assert refused == 1
