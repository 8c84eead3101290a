"""`lightning attack --watch`: files beside the examples, which are the same bit for bit."""

import csv
from pathlib import Path

import pytest
import torch

from lit_intriguing.commands.attack.watching import FIGURE, TABLE
from tests.commands.attack.digits import attack, checkpoint, same


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint(tmp_path_factory.mktemp("digits"))


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_examples_are_the_same_and_the_table_ends_with_their_distortion(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    attack(weights, "--limit=100", "--show=0", "--output=without")
    attack(weights, "--limit=100", "--show=0", "--output=with", "--watch=3")
    assert same(tmp_path / "without", tmp_path / "with")
    out = capsys.readouterr().out
    assert out.endswith(f"examples.pt, summary.csv, {TABLE}, {FIGURE} in with\n")
    found = torch.load(tmp_path / "with" / "examples.pt", weights_only=True)
    with (tmp_path / "with" / TABLE).open() as file:
        last = {int(row["example"]): row for row in csv.DictReader(file)}
    assert len(last) == 3
    for number, row in last.items():
        assert row["call"] == "6"  # five steps, and the verification
        assert float(row["distortion"]) == pytest.approx(float(found["distortion"][number]))
        assert row["success"] == str(bool(found["success"][number]))
    assert (tmp_path / "with" / FIGURE).read_bytes().startswith(b"\x89PNG")


@pytest.mark.integration
def test_what_is_done_is_drawn_again_with_what_was_watched_and_else_refused(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    attack(weights, "--limit=70", "--show=0", "--output=with", "--watch=2")
    before = (tmp_path / "with" / TABLE).read_bytes()
    attack(weights, "--limit=70", "--show=2", "--output=with", "--watch=3")
    assert (tmp_path / "with" / TABLE).read_bytes() == before
    assert f"note: with/{TABLE} holds 2 images, watched before" in capsys.readouterr().err
    attack(weights, "--limit=70", "--show=0", "--output=without")
    with pytest.raises(SystemExit):
        attack(weights, "--limit=70", "--show=0", "--output=without", "--watch=2")
    assert capsys.readouterr().err.splitlines()[-1] == (
        "lightning: watch: the first images in without were attacked before, and not watched: "
        "name another output, or leave watch out."
    )


def test_a_negative_number_is_refused(weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        attack(weights, "--watch=-1")
    assert "watch must not be negative: -1." in capsys.readouterr().err
