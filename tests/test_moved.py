"""Import paths of old raise one error that names the new one."""

import importlib
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from lit_intriguing import cli
from lit_intriguing.moved import NEW_PATHS, PACKAGE, MovedError, MovedModules

ROOT = Path(__file__).parent.parent / "lit_intriguing"


def is_module(name: str) -> bool:
    place = ROOT.joinpath(*name.split("."))
    return place.with_suffix(".py").is_file() or (place / "__init__.py").is_file()


def test_each_new_path_is_there_and_no_old_one():
    assert [new for new in NEW_PATHS.values() if not is_module(new)] == []
    assert [old for old in NEW_PATHS if is_module(old)] == []


@pytest.mark.parametrize("old", NEW_PATHS)
def test_each_old_path_names_its_own_new_one(old):
    with pytest.raises(ImportError) as refused:
        importlib.import_module(PACKAGE + old)
    assert not isinstance(refused.value, ModuleNotFoundError)
    assert refused.value.name == PACKAGE + old
    assert str(refused.value) == (
        f"lit_intriguing.{old} has moved: import lit_intriguing.{NEW_PATHS[old]} instead"
    )


@pytest.mark.parametrize(
    ("statement", "new"),
    [
        ("import lit_intriguing.mixing", "lit_intriguing.pools"),
        ("import lit_intriguing.mixing.batch as b", "lit_intriguing.hosts.batch"),
        ("from lit_intriguing.mixing import joining", "lit_intriguing.pools"),
        ("from lit_intriguing import pool", "lit_intriguing.pools.pool"),
        (
            "from lit_intriguing.callbacks import training_step",
            "lit_intriguing.hosts.training_step",
        ),
        ("from lit_intriguing.studies.runs import Run", "lit_intriguing.training_runs.store"),
    ],
)
def test_every_way_to_import_is_answered(statement, new):
    with pytest.raises(MovedError, match=f"has moved: import {new} instead$"):
        exec(statement)


def test_what_never_was_there_is_still_not_found():
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("lit_intriguing.nowhere")


def test_a_class_path_of_old_is_one_line_and_status_2(tmp_path, capsys):
    old = "lit_intriguing.studies.transfer.training.Training"
    (tmp_path / "old.yaml").write_text(f"model: {{class_path: {old}}}\n")
    with pytest.raises(SystemExit) as stopped:
        cli.main(["fit", f"--config={tmp_path}/old.yaml"])
    (line,) = capsys.readouterr().err.splitlines()
    assert stopped.value.code == 2
    assert line.endswith(
        "lit_intriguing.studies.transfer.training has moved: import "
        "lit_intriguing.model_sets.training instead"
    )


def test_the_finder_is_the_last_one_and_there_once():
    importlib.reload(importlib.import_module("lit_intriguing"))
    assert sum(isinstance(finder, MovedModules) for finder in sys.meta_path) == 1


def test_the_package_alone_imports_no_more_than_the_table_and_the_errors():
    code = (
        "import sys, lit_intriguing; "
        "print(*sorted(m for m in sys.modules if m.startswith('lit_intriguing.')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["lit_intriguing.errors", "lit_intriguing.moved"]
