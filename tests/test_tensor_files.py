import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lit_intriguing.errors import DamagedFileError
from lit_intriguing.tensor_files import check_archive, read_tensors


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    generator = torch.Generator().manual_seed(0)
    content = {"a": torch.rand(300, generator=generator), "b": {"c": torch.arange(9), "d": "text"}}
    torch.save(content, tmp_path / "file.pt")
    return tmp_path / "file.pt"


def same(found: Any, expected: Any) -> bool:
    return (
        torch.equal(found["a"], expected["a"])
        and torch.equal(found["b"]["c"], expected["b"]["c"])
        and found["b"]["d"] == expected["b"]["d"]
    )


def test_no_flipped_bit_gives_other_values(saved: Path) -> None:
    whole, expected = saved.read_bytes(), read_tensors(saved, "")
    assert expected["b"]["d"] == "text"
    numbers, noticed = random.Random(0), 0
    for _ in range(300):
        place = numbers.randrange(8 * len(whole))
        changed = bytearray(whole)
        changed[place // 8] ^= 1 << place % 8
        saved.write_bytes(changed)
        try:
            found = read_tensors(saved, "delete it")
        except Exception:  # ours; or torch's, of a name or a header that changed
            noticed += 1
        else:
            assert same(found, expected)  # the bit was in the padding between tensors
    assert noticed > 150


@pytest.mark.parametrize("share", [0.05, 0.5, 0.95, 0.999])
def test_a_file_that_was_cut_is_damaged(share: float, saved: Path) -> None:
    whole = saved.read_bytes()
    saved.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(DamagedFileError, match=r"file\.pt is damaged .*: make it again\."):
        read_tensors(saved, "make it again")


def test_files_of_numpy_are_checked_too(tmp_path: Path) -> None:
    path = tmp_path / "file.npz"
    np.savez(path, a=np.arange(100.0))
    check_archive(path, "")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(DamagedFileError, match=r"checksum of a\.npy"):
        check_archive(path, "delete it")


def test_old_files_of_torch_are_read_without_a_check(tmp_path: Path) -> None:
    path = tmp_path / "old.pt"
    torch.save(torch.ones(2), path, _use_new_zipfile_serialization=False)
    assert torch.equal(read_tensors(path, ""), torch.ones(2))


def test_damage_of_the_index_alone_is_told_with_the_file_s_name(saved: Path) -> None:
    whole = saved.read_bytes()
    index, numbers = whole.index(b"PK\x01\x02"), random.Random(0)
    told: list[Exception] = []
    for _ in range(300):
        place = numbers.randrange(8 * index, 8 * len(whole))
        changed = bytearray(whole)
        changed[place // 8] ^= 1 << place % 8
        saved.write_bytes(changed)
        try:
            read_tensors(saved, "make it again")
        except Exception as error:  # of any kind; which one is seen below
            told.append(error)
    assert len(told) > 100
    assert {type(error) for error in told} == {DamagedFileError}
    texts = [str(error) for error in told]
    assert all(text.startswith(f"{saved} is damaged (") for text in texts)
    assert all(text.endswith("): make it again.") for text in texts)
