"""Loggers between Lightning and a run: failures, rows, what is restored."""

import csv
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import CSVLogger, Logger

from lit_intriguing.callbacks import AdversarialExamples, LipschitzMonitor, LoggerGuard
from lit_intriguing.data import Digits
from lit_intriguing.loggers.failures import PATIENCE, attempt
from lit_intriguing.loggers.guard import guard, release
from lit_intriguing.loggers.rows import Rows
from lit_intriguing.models import Classifier


class Broken(Logger):
    """Fails in everything that a run asks of it."""

    name = version = "broken"

    def __init__(self) -> None:
        self.asked = 0

    def log_metrics(self, *args: Any, **kwargs: Any) -> None:
        self.asked += 1
        raise ConnectionError("the server\nis gone")

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        raise ConnectionError("the server is gone")

    def save(self) -> None:
        raise ConnectionError("the server is gone")

    def finalize(self, status: str) -> None:
        raise ConnectionError("the server is gone")


def fit(folder: Path, *loggers: Logger) -> Classifier:
    torch.manual_seed(0)
    model = Classifier([64, 10])
    trainer = Trainer(
        max_epochs=2, accelerator="cpu", logger=list(loggers), log_every_n_steps=5,
        enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False,
        default_root_dir=folder,
        callbacks=[LoggerGuard(), AdversarialExamples(examples=4), LipschitzMonitor(10)],
    )  # fmt: skip
    trainer.fit(model, Digits(batch_size=128, validation=100))
    return model


@pytest.mark.filterwarnings("ignore:The '.*_dataloader' does not have many workers")
def test_a_run_with_a_broken_logger_ends_as_without_it(tmp_path: Path) -> None:
    alone = fit(tmp_path, CSVLogger(tmp_path, "alone"))
    with pytest.warns(UserWarning, match="Broken failed: ConnectionError: the server is gone") as w:
        beside = fit(tmp_path, Broken(), CSVLogger(tmp_path, "beside"))
    (warning,) = (one for one in w if "Broken" in str(one.message))
    assert "\n" not in str(warning.message)
    for one, other in zip(alone.parameters(), beside.parameters(), strict=True):
        assert torch.equal(one, other)
    mine, theirs = (rows(tmp_path / name) for name in ("alone", "beside"))
    unlike = ("seconds",)
    for one, other in zip(mine, theirs, strict=True):
        assert one.keys() == other.keys()
        same = [key for key in one if not key.endswith(unlike)]
        assert [one[key] for key in same] == [other[key] for key in same]


def rows(folder: Path) -> list[dict[str, str]]:
    with next(folder.rglob("metrics.csv")).open() as file:
        return list(csv.DictReader(file))


@pytest.mark.filterwarnings("ignore:The '.*_dataloader' does not have many workers")
def test_a_csv_logger_has_one_row_a_step_and_all_of_a_moment_in_it(tmp_path: Path) -> None:
    fit(tmp_path, CSVLogger(tmp_path, "runs"))
    found = rows(tmp_path)
    steps = [int(row["step"]) for row in found]
    assert steps == sorted(set(steps))
    together = [row for row in found if row["val/error"]]
    assert len(together) == 2
    for row in together:
        assert row["examples/success"]
        assert row["lipschitz/network"]


def test_a_logger_that_keeps_failing_is_left_alone() -> None:
    broken = Broken()
    with pytest.warns(UserWarning, match="Broken failed"):
        attempt(broken, broken.log_metrics)
    for _ in range(2 * PATIENCE):
        attempt(broken, broken.log_metrics)
    assert broken.asked == PATIENCE


def test_a_logger_is_as_it_was_when_it_has_been_finalised(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path)
    before = set(vars(logger))
    guard(logger)
    guard(logger)
    logger.log_metrics({"a": 1.0}, step=0)
    logger.finalize("success")
    assert set(vars(logger)) <= before | {"_lit_intriguing_failures", "_experiment"}
    assert rows(tmp_path) == [{"a": "1.0", "step": "0"}]
    release(logger)


def test_rows_of_a_step_are_joined_and_a_second_value_is_not_lost() -> None:
    given: list[tuple[dict[str, Any], int | None]] = []
    table = Rows(lambda row, step: given.append((row, step)), lambda: None)
    for metrics, step in [
        ({"a": 1.0}, 4), ({"b": 2.0}, 4), ({"a": 3.0}, 4), ({"a": 3.0}, 4), ({"b": 5.0}, 6)
    ]:  # fmt: skip
        table.log_metrics(metrics, step)
    table.log_metrics({"c": 0.0})
    table.flush()
    assert given == [
        ({"a": 1.0, "b": 2.0}, 4), ({"a": 3.0}, 4), ({"b": 5.0}, 6), ({"c": 0.0}, None)
    ]  # fmt: skip
