"""The output folder."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from lit_intriguing.errors import UserError
from lit_intriguing.splits import locks
from lit_intriguing.splits.resumable_store import Chunk, Store


@pytest.fixture(autouse=True)
def _free() -> Iterator[None]:
    yield
    locks.release_all()


SETTINGS = {"attack": {"eps": 1.5}, "limit": None}
SUMMARY = {"rows": 2, "distortion": 0.1}


def chunk(source: str = "rows") -> Chunk:
    return Chunk({"labels": torch.tensor([1, 2])}, source, 0.5)


def test_chunks_come_back_in_order(tmp_path: Path) -> None:
    store = Store(tmp_path / "out")
    store.begin(SETTINGS)
    for index in (10, 2, 0):
        store.save(index, chunk(f"rows {index}"))
    assert store.indices() == [0, 2, 10]
    assert [one.source for one in store.chunks()] == ["rows 0", "rows 2", "rows 10"]
    assert store.load(2).columns["labels"].tolist() == [1, 2]
    assert store.source(2) == "rows 2"
    assert store.source(1) is None


def test_a_view_takes_only_its_own_examples_to_disk(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.begin(SETTINGS)
    store.save(0, Chunk({"clean": torch.zeros(10_000, 100)[:2]}, "rows", 0.5))
    assert sum(path.stat().st_size for path in tmp_path.rglob("*.pt")) < 10_000
    assert store.load(0).columns["clean"].shape == (2, 100)


def test_a_half_written_chunk_does_not_count(tmp_path: Path, monkeypatch) -> None:
    store = Store(tmp_path)
    store.begin(SETTINGS)

    def cut_short(content: object, path: Path) -> None:
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", cut_short)
    with pytest.raises(KeyboardInterrupt):
        store.save(0, chunk())
    assert store.indices() == []
    assert store.source(0) is None


def test_a_finished_attack_keeps_its_numbers_and_no_chunks(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.begin(SETTINGS)
    store.save(0, chunk())
    (tmp_path / "examples.pt").touch()
    store.finish(["rows"], ["examples.pt"], SUMMARY)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["examples.pt", "manifest.json"]
    assert store.finished is not None
    assert store.finished["summary"] == SUMMARY
    assert (store.source(0), store.source(1)) == ("rows", None)
    store.begin(SETTINGS)


def test_other_settings_are_refused_by_name(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.begin(SETTINGS)
    store.save(0, chunk())
    with pytest.raises(UserError, match=r"other settings \(attack.eps 1.5 -> 2; limit None -> 9\)"):
        Store(tmp_path).begin({"attack": {"eps": 2}, "limit": 9})


def test_a_folder_without_a_finished_chunk_takes_other_settings(tmp_path: Path) -> None:
    Store(tmp_path).begin(SETTINGS)
    other = {"attack": {"eps": 2}, "limit": 9}
    Store(tmp_path).begin(other)
    Store(tmp_path).save(0, chunk())
    Store(tmp_path).check(other)
    with pytest.raises(UserError, match="other settings"):
        Store(tmp_path).check(SETTINGS)


def test_a_folder_with_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(UserError, match="holds other files: name a new one"):
        Store(tmp_path).begin(SETTINGS)


def test_a_finished_folder_that_lost_a_file_is_refused(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.begin(SETTINGS)
    store.finish([], ["examples.pt"], SUMMARY)
    with pytest.raises(UserError, match=r"has lost its examples\.pt"):
        store.begin(SETTINGS)


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write to"):
        Store(tmp_path / "file" / "out").begin(SETTINGS)


def test_a_chunk_that_was_changed_on_disk_is_refused_by_name(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.begin(SETTINGS)
    store.save(0, chunk())
    path = tmp_path / "chunks" / "000000.pt"
    whole = path.read_bytes()
    place = whole.index(torch.tensor([1, 2]).numpy().tobytes())
    path.write_bytes(whole[:place] + b"\x03" + whole[place + 1 :])
    with pytest.raises(
        UserError, match=r"000000\.pt is damaged .*: delete this file, and the same"
    ):
        store.source(0)
    path.unlink()  # the way out
    assert store.source(0) is None


def test_examples_of_a_finished_folder_that_were_cut_are_refused(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.begin(SETTINGS)
    path = tmp_path / "examples.pt"
    torch.save({"clean": torch.rand(50)}, path)
    store.finish([], ["examples.pt"], SUMMARY)
    store.check(SETTINGS)
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(UserError, match=r"examples\.pt is damaged .*: delete the folder"):
        store.check(SETTINGS)


def test_a_run_that_was_killed_before_its_manifest_is_begun_again(tmp_path: Path) -> None:
    (tmp_path / "chunks").mkdir()
    (tmp_path / ".manifest.json.123.tmp").write_text("{")
    (tmp_path / ".lock").touch()
    store = Store(tmp_path)
    store.begin(SETTINGS)
    assert store.finished is None
    store.begin(SETTINGS)
