"""Segmentation, regression and text through the real command line: trained, tested, attacked."""

import re
from pathlib import Path

import pytest
import yaml

from lit_intriguing import cli
from tests.data.test_translated_messages import write_package

pytestmark = pytest.mark.integration

RECIPES = Path(__file__).parents[2] / "recipes"
QUIET = ["--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"]
WHAT = {
    "segmentation_mnist": (
        ["--config=recipes/segmentation_mnist/digits.yaml", "--trainer.max_epochs=1"],
        {"iou_error": 0.5, "pixel_error": 0.1},
    ),
    "regression_diabetes": ([], {"rmse": 0.85, "r2": 1.0}),
    "text_languages": (
        ["--data.languages=[xx, yy]", "--model.classes=2", "--data.batch_size=5"],
        {"error": 0.1},
    ),
}


@pytest.fixture(autouse=True)
def _in_a_folder_with_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_package(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)


def figures(printed: str) -> dict[str, float]:
    """What the end of `fit`, and the table of `test`, say of the test."""
    found = re.findall(r"^\W*test[ /](\w+)\s+([\d.e-]+)(%?)", printed, re.MULTILINE)
    return {name: float(value) / (100 if percent else 1) for name, value, percent in found}


@pytest.mark.filterwarnings("ignore:.*callbacks used to create the checkpoint")
@pytest.mark.filterwarnings("ignore:The dirpath has changed")
@pytest.mark.parametrize("name", WHAT)
def test_the_recipe_learns_says_its_figures_and_is_worse_under_attack(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options, worst = WHAT[name]
    words = [f"--config=recipes/{name}.yaml", *options, *QUIET]
    cli.main(["fit", *words])
    clean = figures(capsys.readouterr().out)
    assert set(clean) == set(worst)
    assert all(clean[one] < most for one, most in worst.items())
    log = (tmp_path / "lightning_logs" / "version_0" / "metrics.csv").read_text()
    assert re.search(r"adversarial/\w+/loss_clean", log)
    (weights,) = tmp_path.rglob("*.ckpt")
    attacked = f"--config=recipes/{name}/attack.yaml"
    # The stand-in's two languages share no word: they need a longer attack.
    longer = ["--set", "UnderAttack.attack.eps=8"] if name == "text_languages" else []
    cli.main(["test", *words, attacked, *longer, f"--ckpt_path={weights}"])
    hard = figures(capsys.readouterr().out)
    (first, *_) = worst
    assert hard[first] > clean[first]


@pytest.mark.parametrize("name", WHAT)
def test_the_recipe_runs_without_adversarial_training_as_its_page_says(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options, worst = WHAT[name]
    words = [f"--config=recipes/{name}.yaml", *options, "--trainer.max_epochs=1", *QUIET]
    cli.main(["fit", *words, "--trainer.callbacks", "[]"])
    assert set(figures(capsys.readouterr().out)) == set(worst)
    log = (tmp_path / "lightning_logs" / "version_0" / "metrics.csv").read_text()
    assert "adversarial" not in log


@pytest.mark.parametrize("name", WHAT)
def test_the_page_gives_the_commands_and_the_sizes_of_the_attacks(name: str) -> None:
    page = (RECIPES / f"{name}.md").read_text()
    fit = f"lightning fit --config recipes/{name}.yaml"
    test = f"lightning test --config recipes/{name}.yaml --config recipes/{name}/attack.yaml"
    assert f"{fit}\n" in page
    assert f"{fit} --trainer.callbacks []\n" in page
    assert test in page
    assert f"python recipes/bench/tasks.py {name}\n" in page
    recipe = yaml.safe_load((RECIPES / f"{name}.yaml").read_text())
    (training,) = recipe["trainer"]["callbacks"]
    (layer,) = training["init_args"]["layers"].values()
    assert f"eps {layer['attack']['init_args']['eps']}" in page
