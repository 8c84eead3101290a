"""The study of a recipe's seeds: its file, and that it goes on where it was stopped."""

import json
from pathlib import Path

import pytest

from recipes.bench import seeds

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[3]
SHORT = ["--", "--trainer.max_epochs", "2"]


@pytest.fixture(autouse=True)
def _in_the_checkout(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(seeds, "RESULTS", tmp_path)


def test_errors_are_kept_and_no_seed_is_trained_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seeds.main(["adv_digits", "--seeds", "5", *SHORT])
    first = json.loads((tmp_path / "adv_digits.json").read_text())
    assert first["command"].startswith("lightning fit --config recipes/adv_digits.yaml")
    assert first["command"].endswith("--seed_everything N --trainer.max_epochs 2")
    assert 0 < first["runs"][0]["test_error"] < 60
    assert first["runs"][0]["cpu_seconds"] > 0
    monkeypatch.setattr(
        seeds, "run", lambda recipe, seed, options: {**first["runs"][0], "seed": seed}
    )
    seeds.main(["adv_digits", "--seeds", "5", "4", "--workers", "2", *SHORT])
    both = json.loads((tmp_path / "adv_digits.json").read_text())
    assert [one["seed"] for one in both["runs"]] == [4, 5]
    assert both["runs"][1] == first["runs"][0]
    assert "2 seeds: mean" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="give another --variant"):
        seeds.main(["adv_digits", "--seeds", "6"])


def test_a_run_that_fails_is_said_with_its_output(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="seed 1 ended with no test error"):
        seeds.main(["adv_digits", "--seeds", "1", "--", "--trainer.no_such_option", "2"])
    assert not list(tmp_path.iterdir())
