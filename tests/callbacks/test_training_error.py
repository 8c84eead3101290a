"""The training error against one counted by hand, on the run's examples and on others'."""

import csv
from pathlib import Path

import pytest
import torch
from lightning.pytorch.loggers import CSVLogger

from lit_intriguing.callbacks import TrainingError
from lit_intriguing.errors import UserError
from lit_intriguing.models import Classifier
from tests.callbacks.full_batch import Blobs, softmax_regression, trainer
from tests.tiny import Tiny


def by_hand(model: Classifier, data: Blobs) -> float:
    rows, _ = data.load_training()
    with torch.no_grad():
        wrong = [
            model(x[None]).argmax() != y for x, y in zip(rows.inputs, rows.labels, strict=True)
        ]
    return sum(map(float, wrong)) / len(wrong)


def test_it_counts_the_run_s_examples_and_those_of_others_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, other = softmax_regression(), Blobs(seed=1)
    measured = TrainingError(paper="6.7%", others={"P2": other})
    logger = CSVLogger(tmp_path, name="", version="")
    trainer(measured, max_epochs=2, logger=logger).fit(model, datamodule=Blobs())
    own, others = by_hand(model, Blobs()), by_hand(model, other)
    assert 0 < own < others < 0.5
    assert measured.errors == pytest.approx({"train/error": own, "train/error_P2": others})
    printed = capsys.readouterr().out
    assert f"training error {own:.2%} (paper: 6.7%)\nerror on P2 {others:.2%}\n" in printed
    with (tmp_path / "metrics.csv").open() as file:
        (row,) = (row for row in csv.DictReader(file) if row["train/error"])
    assert float(row["train/error_P2"]) == pytest.approx(others)


def test_dropout_is_off_and_the_modes_are_as_before() -> None:
    model = softmax_regression(dropout=[0.9])
    measured = TrainingError()
    trainer(measured, max_epochs=2).fit(model, datamodule=Blobs())
    assert all(module.training for module in model.modules())
    assert measured.errors["train/error"] == pytest.approx(by_hand(model.eval(), Blobs()))


def test_in_another_precision_the_examples_are_converted() -> None:
    model, measured = softmax_regression(), TrainingError()
    trainer(measured, max_epochs=1, precision="64-true").fit(model, datamodule=Blobs())
    assert 0 < measured.errors["train/error"] < 0.5


def test_it_only_measures() -> None:
    left = []
    for callbacks in ([TrainingError(others={"P2": Blobs(seed=1)})], []):
        model = softmax_regression()
        trainer(*callbacks, max_epochs=2).fit(model, datamodule=Blobs(batch_size=50))
        left.append((*(p.detach() for p in model.parameters()), torch.get_rng_state()))
    assert all(torch.equal(a, b) for a, b in zip(*left, strict=True))


def test_examples_that_are_not_in_memory_are_refused_before_training() -> None:
    model = Tiny()
    before = model.net.weight.detach().clone()
    with pytest.raises(UserError, match="measured on examples in memory, not on a Memory: use"):
        trainer(TrainingError(), max_epochs=1).fit(model)
    assert torch.equal(model.net.weight, before)
