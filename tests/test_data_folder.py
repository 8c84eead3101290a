from pathlib import Path

import pytest

from lit_intriguing.data_folder import DATA_VARIABLE, data_folder, found_file


def test_a_file_is_looked_for_here_and_then_in_the_data_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "w.pth").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path / "data"))
    assert found_file("w.pth") == tmp_path / "data" / "w.pth"
    Path("w.pth").touch()
    assert found_file("w.pth") == Path("w.pth")
    assert found_file("none.pth") == Path("none.pth")


def test_without_the_variable_there_is_no_data_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    assert data_folder() is None
    assert found_file("w.pth") == Path("w.pth")
