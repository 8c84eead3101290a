"""When a run is measured."""

import csv
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import CSVLogger

from lit_intriguing.attacks import GradientAttack
from lit_intriguing.callbacks import AdversarialExamples, LipschitzMonitor
from lit_intriguing.callbacks.intervals import MOST, epoch_is_due, epochs_between, turn
from lit_intriguing.data import TensorLoader
from lit_intriguing.models import Classifier


def trainer(epochs: int, epoch: int = 0, batches: float = 5) -> Any:
    """Stands for a Trainer in an epoch, from 0."""
    return SimpleNamespace(
        max_epochs=epochs, max_steps=-1, num_training_batches=batches, current_epoch=epoch,
        accumulate_grad_batches=1,
    )  # fmt: skip


def measured(epochs: int, given: int | None) -> list[int]:
    return [at for at in range(epochs) if epoch_is_due(trainer(epochs, at), given)]


@pytest.mark.parametrize("epochs", [1, 7, MOST])
def test_each_epoch_of_a_short_run_is_measured(epochs: int) -> None:
    assert measured(epochs, None) == list(range(epochs))


def test_of_a_long_run_there_are_the_first_epoch_the_last_and_some_between() -> None:
    assert measured(200, None) == [0, *range(4, 200, 5)]
    assert measured(101, None)[-2:] == [98, 100]
    for epochs in range(1, 400, 7):
        assert len(measured(epochs, None)) <= MOST + 2


def test_what_is_asked_for_is_kept() -> None:
    assert measured(10, 4) == [3, 7]
    assert measured(200, 1) == list(range(200))


def test_each_epoch_of_a_run_without_an_end_is_measured() -> None:
    assert epochs_between(trainer(-1), None) == 1
    assert turn(trainer(-1, 3), None, None) == (3, None)


def test_a_resumed_run_goes_on_counting() -> None:
    numbers = [turn(trainer(200, at), None, None) for at in measured(200, None)]
    assert numbers == [(0, 40), *((at, 40) for at in range(40))]


class StopsAt(Callback):
    """Ends a run early, as `EarlyStopping` does."""

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        trainer.should_stop = trainer.current_epoch == 2


@pytest.mark.filterwarnings("ignore:You defined a `validation_step` but have no")
def test_a_long_run_that_ends_early_is_measured_at_its_end(tmp_path: Path) -> None:
    torch.manual_seed(0)
    examples = AdversarialExamples(GradientAttack(0.1), examples=2)
    logger = CSVLogger(tmp_path, "runs")
    fit = Trainer(
        max_epochs=200, accelerator="cpu", logger=logger, enable_progress_bar=False,
        enable_model_summary=False, enable_checkpointing=False, log_every_n_steps=1,
        callbacks=[examples, LipschitzMonitor(), StopsAt()],
    )  # fmt: skip
    loader = TensorLoader(torch.rand(20, 64), torch.arange(20) % 4, 10)
    fit.fit(Classifier([64, 4]), loader)
    assert [moment.step for moment in examples._history] == [2, 6]
    with (Path(logger.log_dir) / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    for key in ("examples/success", "lipschitz/network"):
        found = [(row["step"], row["epoch"]) for row in rows if row[key]]
        assert found == [("1", "0"), ("5", "2")], key
    for name in ("examples", "lipschitz"):
        stems = {path.stem for path in (Path(logger.log_dir) / name).iterdir()}
        assert stems == {"step-00000002", "step-00000006"}
