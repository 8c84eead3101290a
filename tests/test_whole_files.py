from pathlib import Path

import pytest

from lit_intriguing.whole_files import draft, kept_aside, write_bytes, write_json


def test_a_file_is_replaced_in_one_go_and_a_failure_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "deep" / "file.bin"
    write_bytes(path, b"old")
    assert path.read_bytes() == b"old"

    def full(self: Path, content: bytes) -> int:
        with self.open("wb") as file:
            file.write(content[:1])
        raise OSError("no space left")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="no space left"):
        write_bytes(path, b"new")
    assert [file.read_bytes() for file in path.parent.iterdir()] == [b"old"]


def test_an_error_on_the_way_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file.json"

    def half() -> None:
        with draft(path) as file:
            file.write_text("half")
            raise ValueError("broken off")

    with pytest.raises(ValueError, match="broken off"):
        half()
    assert list(path.parent.iterdir()) == []


def test_plain_values_come_back_from_json(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"a": [1, 2.5, None]})
    assert (tmp_path / "a.json").read_text() == '{\n "a": [\n  1,\n  2.5,\n  null\n ]\n}\n'


def test_tables_that_change_are_kept_aside_with_what_belongs_to_them(tmp_path):
    for name, text in (("a.csv", "1"), ("a.png", "old"), ("other.txt", "kept")):
        (tmp_path / name).write_text(text)
    assert kept_aside(tmp_path, {"a.csv": "1", "a.png": b"new"}) is None
    for number in (1, 2):
        aside = kept_aside(tmp_path, {"a.csv": "2", "a.png": b"new"})
        assert aside == tmp_path / f"earlier-{number}"
        assert (aside / "a.csv").read_text() == "1"
        assert (aside / "a.png").read_text() == "old"
        assert sorted(one.name for one in tmp_path.iterdir() if one.is_file()) == ["other.txt"]
        (tmp_path / "a.csv").write_text("1")
        (tmp_path / "a.png").write_text("old")
    assert kept_aside(tmp_path / "new", {"a.csv": "1"}) is None
