"""The notebooks run cell by cell, hold no outputs, and need nothing but the package."""

import json
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pytest
import wandb

from tests.pages import DOCS

NOTEBOOKS = sorted((DOCS / "notebooks").glob("*.ipynb"))

pytestmark = pytest.mark.skipif(not NOTEBOOKS, reason="the notebooks are in a checkout alone")


def stem(notebook: Path) -> str:
    return notebook.stem


def read(notebook: Path) -> dict[str, Any]:
    return json.loads(notebook.read_text())


def code_of(notebook: Path) -> list[str]:
    cells = read(notebook)["cells"]
    return ["".join(one["source"]) for one in cells if one["cell_type"] == "code"]


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=stem)
def test_a_notebook_stores_no_outputs_and_is_one_for_jupyter(notebook: Path) -> None:
    found = read(notebook)
    code = [one for one in found["cells"] if one["cell_type"] == "code"]
    assert code
    assert all(one["outputs"] == [] and one["execution_count"] is None for one in code)
    assert (found["nbformat"], found["nbformat_minor"]) == (4, 5)
    identities = [one["id"] for one in found["cells"]]
    assert len(set(identities)) == len(identities)


@pytest.mark.integration
@pytest.mark.filterwarnings("ignore:The '.*dataloader' does not have many workers")
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=stem)
def test_a_notebook_runs_from_its_first_cell_to_its_last(
    notebook: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wandb.finish()  # of a run that another test has left open
    monkeypatch.chdir(tmp_path)
    for name, value in {"WANDB_MODE": "offline", "WANDB_SILENT": "true"}.items():
        monkeypatch.setenv(name, value)
    names: dict[str, Any] = {"__name__": "notebook"}
    for number, code in enumerate(code_of(notebook)):
        exec(compile(code, f"{notebook.stem}, cell {number}", "exec"), names)
    assert plt.get_fignums()  # each draws
    plt.close("all")
