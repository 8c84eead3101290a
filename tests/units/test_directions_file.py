from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lit_intriguing.errors import UserError
from lit_intriguing.units.directions_file import OWN, read_directions


def test_arrays_by_layer_and_basis(tmp_path: Path) -> None:
    plain, named = np.eye(3, dtype=np.float32), np.ones((2, 4))
    np.savez(tmp_path / "own.npz", **{"a.0": plain, "a.1/concepts": named})
    found = read_directions(str(tmp_path / "own.npz"))
    assert {layer: list(bases) for layer, bases in found.items()} == {
        "a.0": [OWN],
        "a.1": ["concepts"],
    }
    assert torch.equal(found["a.0"][OWN], torch.eye(3))
    assert found["a.1"]["concepts"].shape == (2, 4)


def test_tensors_by_layer_within_the_data_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save({"a": torch.eye(2), "b": {"x": torch.ones(1, 3)}}, tmp_path / "own.pt")
    monkeypatch.setenv("LIT_INTRIGUING_DATA", str(tmp_path))
    found = read_directions("own.pt")
    assert torch.equal(found["a"][OWN], torch.eye(2))
    assert torch.equal(found["b"]["x"], torch.ones(1, 3))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([torch.eye(2)], "it holds list"),
        ({"a": [1.0, 2.0]}, "under 'a' lies something else"),
        ({0: torch.eye(2)}, "under 0 lies something else"),
        ({}, "holds no directions"),
        (b"no file of torch", "Cannot read directions"),
    ],
    ids=["list", "numbers", "number", "empty", "bytes"],
)
def test_other_contents_are_refused(content: Any, message: str, tmp_path: Path) -> None:
    path = tmp_path / "own.pt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(UserError, match=message):
        read_directions(str(path))


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(UserError, match=r"no file of directions nowhere\.npz"):
        read_directions("nowhere.npz")
