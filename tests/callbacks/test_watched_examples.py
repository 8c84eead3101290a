"""AdversarialExamples with `watch`: the way of a few examples, and no trace on the run."""

import csv
from pathlib import Path

import pytest
import torch
from lightning.pytorch.loggers import CSVLogger

from lit_intriguing.attacks import BoxLBFGS
from lit_intriguing.callbacks import AdversarialExamples
from tests.callbacks.test_adversarial_examples import Validating, plain, run, shuffled

pytestmark = pytest.mark.filterwarnings("ignore:The '.*_dataloader' does not have many workers")


def test_the_run_and_the_examples_are_the_same_and_the_table_ends_with_them(tmp_path: Path) -> None:
    states = {}
    for watch in (0, 2):
        states[watch] = run(
            tmp_path / str(watch),
            AdversarialExamples(BoxLBFGS(), examples=4, watch=watch, every_n_epochs=2),
            host=Validating(),
            loaders=lambda: (shuffled(), plain()),
            logger=CSVLogger(tmp_path / f"log{watch}"),
        )
    assert all(torch.equal(a, b) for a, b in zip(states[0], states[2], strict=True))
    without, found = (
        torch.load(next((tmp_path / f"log{watch}").rglob("examples/step-*.pt"))) for watch in (0, 2)
    )
    assert torch.equal(without["adversarial"], found["adversarial"])
    (folder,) = (tmp_path / "log2").rglob("examples/watch")
    assert sorted(path.suffix for path in folder.iterdir()) == [".csv", ".png"]
    with next(folder.glob("*.csv")).open() as file:
        last = {int(row["example"]): row for row in csv.DictReader(file)}
    assert list(last) == [0, 3]
    for number, row in last.items():
        assert float(row["distortion"]) == pytest.approx(float(found["distortion"][number]))
        assert row["success"] == str(bool(found["success"][number]))
    assert not list((tmp_path / "log0").rglob("watch"))


def test_a_negative_number_is_refused() -> None:
    with pytest.raises(ValueError, match="AdversarialExamples: watch must be at least 0"):
        AdversarialExamples(watch=-1)
