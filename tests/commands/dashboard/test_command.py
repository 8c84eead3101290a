"""`lightning dashboard` through the real command line, without a network."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lit_intriguing import cli
from lit_intriguing.commands.dashboard.options import Dashboard
from lit_intriguing.configuration.files import load_config

# Of wandb-workspaces, not of this package.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def refused(capsys: pytest.CaptureFixture[str], *options: str) -> str:
    """Runs a command that must end with an error of one line; returns the line."""
    with pytest.raises(SystemExit):
        cli.main(["dashboard", *options])
    return capsys.readouterr().err.splitlines()[-1]


def library() -> None:
    pytest.importorskip("wandb_workspaces", reason="the extra dashboard is not installed")


def test_the_file_holds_a_workspace_and_a_report_with_the_recipe_s_callbacks(
    capsys: pytest.CaptureFixture[str],
) -> None:
    library()
    recipe = "[adv_digits, callbacks/lipschitz_monitor]"
    cli.main(["dashboard", f"--recipe={recipe}", "--file=d.json", "--entity=me", "--name=Mine"])
    out = capsys.readouterr().out
    assert out == ("13 panels in d.json: Training, Adversarial training, Lipschitz constants\n")
    written = json.loads(Path("d.json").read_text())
    workspace = written["workspace"]
    assert (workspace["entity"], workspace["displayName"]) == ("me", "Mine")
    sections = workspace["spec"]["section"]["panelBankConfig"]["sections"]
    panels = [panel for section in sections for panel in section["panels"]]
    assert len(panels) == 13
    lines = [one["config"] for one in panels if one["viewType"] == "Run History Line Plot"]
    assert {line["xAxis"] for line in lines} == {"trainer/global_step"}
    assert "^lipschitz/network(_joint)?$" in [line["metricRegex"] for line in lines]
    media = [one["config"] for one in panels if one["viewType"] == "Media Browser"]
    assert [one["mediaKeys"] for one in media] == [["lipschitz/figure"]]
    blocks = written["report"]["spec"]["blocks"]
    grids = [one for one in blocks if one["type"] == "panel-grid"]
    assert len(grids) == 3


def test_without_a_report_the_file_holds_a_workspace_alone() -> None:
    library()
    cli.main(["dashboard", "--file=d.json", "--report=false"])
    assert list(json.loads(Path("d.json").read_text())) == ["workspace"]


def test_without_a_login_one_line_says_what_to_do(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library()
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    error = refused(capsys)
    assert error.startswith("lightning: W&B does not take the dashboard: No API key configured.")
    assert error.endswith("(--file dashboard.json writes it without W&B.)")


def test_without_the_extra_one_line_says_how_to_install_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "wandb_workspaces", None)
    assert refused(capsys, "--file=d.json") == (
        "lightning: wandb_workspaces is not installed. Install it with: "
        "pip install 'lit-intriguing[dashboard]'"
    )


def test_a_recipe_without_callbacks_and_one_that_is_not_there_are_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("bare.yaml").write_text("trainer: {max_epochs: 3}")
    assert refused(capsys, "--recipe=bare.yaml", "--file=d.json") == (
        "lightning: recipe: no callbacks in bare.yaml; without recipe, those of this package are "
        "shown."
    )
    assert "no file 'adv_digit'" in refused(capsys, "--recipe=adv_digit", "--file=d.json")
    assert not Path("d.json").exists()


def test_a_recipe_in_the_wrong_place_and_two_of_them_are_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    wrong = refused(capsys, "--config=adv_digits", "--file=d.json")
    assert "no option 'seed_everything'" in wrong
    assert wrong.endswith("The configuration of a training goes to --recipe.")
    twice = refused(capsys, "--recipe=adv_digits", "--recipe", "adv_mnist", "--file=d.json")
    assert "--recipe '[one, other]'" in twice
    assert not Path("d.json").exists()


def test_the_project_is_that_of_the_logger_s_fragment() -> None:
    logger = load_config("configs/logger/wandb.yaml")["trainer"]["logger"]
    assert logger["init_args"]["project"] == Dashboard.project


def test_with_a_login_the_views_are_saved_under_its_entity_and_their_addresses_printed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    library()
    import wandb
    from wandb_workspaces.reports.v2 import Report
    from wandb_workspaces.workspaces import Workspace

    def saved(view: Any) -> Any:
        view._to_model()  # what the real one sends
        return SimpleNamespace(url=f"{type(view).__name__} of {view.entity}/{view.project}")

    monkeypatch.setattr(wandb, "Api", lambda: SimpleNamespace(default_entity="me"))
    monkeypatch.setattr(Workspace, "save", saved)
    monkeypatch.setattr(Report, "save", saved)
    cli.main(["dashboard", "--project=mine"])
    assert capsys.readouterr().out == "Workspace of me/mine\nReport of me/mine\n"
    cli.main(["dashboard", "--project=mine", "--entity=team", "--report=false"])
    assert capsys.readouterr().out == "Workspace of team/mine\n"
