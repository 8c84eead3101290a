"""The records of a reproduction: which steps are done, and which have to run again."""

from dataclasses import replace
from pathlib import Path

from lit_intriguing.paper.plan import Step
from lit_intriguing.paper.records import FOLDER, Record, Records, versions

STEP = Step("one", "A step", ("fit", "--config", "x"), "one", 1.0, "one")
RECORD = Record(("fit", "--config", "x"), 0, 2.5, "2026-11-28 12:00", {"sources": "a"}, {"b": "1"})


def saved(tmp_path: Path, record: Record = RECORD) -> Records:
    records = Records(tmp_path)
    records.save(STEP, record)
    (tmp_path / "one").mkdir()
    return records


def test_what_was_saved_is_read(tmp_path: Path) -> None:
    found = saved(tmp_path).done(STEP)
    assert found == replace(RECORD, command=list(RECORD.command))


def test_a_failed_step_is_not_done(tmp_path: Path) -> None:
    records = saved(tmp_path, replace(RECORD, status=1, reason="no file"))
    assert records.done(STEP) is None
    loaded = records.load(STEP)
    assert loaded is not None
    assert loaded.reason == "no file"


def test_a_step_with_another_command_or_without_its_folder_is_not_done(tmp_path: Path) -> None:
    records = saved(tmp_path)
    assert records.done(replace(STEP, command=("fit", "--config", "y"))) is None
    (tmp_path / "one").rmdir()
    assert records.done(STEP) is None


def test_a_damaged_record_is_none(tmp_path: Path) -> None:
    records = saved(tmp_path)
    path = tmp_path / FOLDER / "one.json"
    path.write_text(path.read_text().replace('"status": 0', '"status": 3'))
    assert records.load(STEP) is None


def test_a_folder_remembers_its_plan(tmp_path: Path) -> None:
    records = Records(tmp_path)
    assert records.plan() is None
    records.begin("quick")
    assert records.plan() == "quick"


def test_versions_name_torch_and_lightning() -> None:
    assert {"python", "torch", "lightning"} <= versions().keys()
