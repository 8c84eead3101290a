"""The study of the three tasks: which networks it trains, and what it may look at."""

import sys
from pathlib import Path

import pytest

from lit_intriguing.data import Diabetes
from recipes.bench import tasks

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def _in_the_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def table(
    words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> list[list[str]]:
    given = ["tasks.py", "regression_diabetes", "--epochs", "1", *words.split()]
    monkeypatch.setattr(sys, "argv", given)
    tasks.main()
    lines = [one for one in capsys.readouterr().out.splitlines() if one.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_both_kinds_of_training_are_measured_clean_and_under_attack(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    head, *rows = table("--seeds 0 1", monkeypatch, capsys)
    assert head == ["training", "rmse", "r2", "CPU seconds", "rmse, attacked", "r2, attacked"]
    assert [row[0] for row in rows] == ["without", "with"]
    for row in rows:
        clean, attacked = (float(row[at].split(" (sd ")[0]) for at in (1, 4))
        assert attacked > clean > 0


def test_a_choice_of_sizes_never_reads_the_test_data(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(self: Diabetes) -> None:
        raise AssertionError("the test data were read")

    monkeypatch.setattr(Diabetes, "load_test", refuse)
    words = "--seeds 0 --validation 80 --eps 0.1 3.0"
    _, *rows = table(words, monkeypatch, capsys)
    assert [row[0] for row in rows] == ["without", "with eps 0.1", "with eps 3.0"]
    assert len({row[1] for row in rows}) == 3
