"""What a cell calls ok, a way out, a dead end and a fault, on a small host."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import nn

from lit_intriguing.errors import UserError
from tests.real_hosts import apart, cell
from tests.real_hosts.cell import DEAD_END, FAULT, OK, WAY_OUT, Result
from tests.real_hosts.columns import Column, unmoved
from tests.real_hosts.host import Around, Host, images
from tests.real_hosts.table import table


class Careful(Callback):
    """Does nothing where it is told the labels; else it ends the run."""

    def __init__(self, labels: str | None = None, ends: type[Exception] = UserError) -> None:
        self.labels, self.ends = labels, ends

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.labels is None:
            raise self.ends("Say where the labels are: labels=<key>.")


class Meddling(Callback):
    """Changes something."""

    def __init__(self, change: Callable[[LightningModule], Any]) -> None:
        self.change = change

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.change(pl_module)


def host(**options: Any) -> Host:
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    return Host(Around(network), images(8, channels=1), "network.1", **options)


def found(monkeypatch: pytest.MonkeyPatch, kind: Any, **options: Any) -> Result:
    column = Column(
        lambda host, other, folder, options: kind(**options),
        frozenset({"labels", "model"}),
        unmoved,
    )
    monkeypatch.setitem(cell.COLUMNS, "input", column)
    return cell.cell(lambda: host(**options), "input", cell.bare(lambda: host(**options)))


def test_a_callback_that_changes_nothing_is_ok(monkeypatch: pytest.MonkeyPatch) -> None:
    assert found(monkeypatch, Callback).verdict == OK


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda module: next(module.parameters()).data.add_(1), "network.1.weight"),
        (lambda module: module.network.eval(), "modes"),
        (lambda module: torch.rand(1), "random states"),
        (lambda module: module.trainer.callback_metrics["train_loss"].add_(1), "train_loss"),
    ],
    ids=["weight", "mode", "random state", "metric"],
)
def test_a_callback_that_changes_something_is_a_fault(
    monkeypatch: pytest.MonkeyPatch, change: Any, said: str
) -> None:
    result = found(monkeypatch, lambda: Meddling(change))
    assert result.verdict == FAULT
    assert said in result.message


def test_an_error_that_is_no_refusal_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    result = found(monkeypatch, lambda: Careful(ends=KeyError))
    assert result.verdict == FAULT
    assert "on_fit_start" in result.details


@pytest.mark.parametrize(
    ("options", "verdict"),
    [({"labels": "y"}, WAY_OUT), ({"model": "net"}, DEAD_END), (None, DEAD_END)],
    ids=["named", "not named", "none"],
)
def test_a_refusal_is_a_dead_end_unless_it_names_a_way_out_that_works(
    monkeypatch: pytest.MonkeyPatch, options: Any, verdict: str
) -> None:
    assert found(monkeypatch, Careful, known=options or {}).verdict == verdict


def test_a_way_out_that_is_refused_too_is_a_dead_end(monkeypatch: pytest.MonkeyPatch) -> None:
    result = found(monkeypatch, lambda labels=None: Careful(), known={"labels": 1})
    assert result.verdict == DEAD_END
    assert "With {'labels': 1}: UserError" in result.details


def test_a_way_out_may_be_another_host_without_the_callback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert found(monkeypatch, Careful, without={"input": host}).verdict == WAY_OUT


@pytest.mark.integration
def test_a_process_that_dies_is_a_fault_and_so_is_one_that_takes_too_long() -> None:
    died = apart._ended("no such host", None, None, 300.0)
    assert died.verdict == FAULT
    assert "the process ends with 1" in died.message
    slow = apart._ended("lightning: BoringModel", None, None, 0.0)
    assert slow.verdict == FAULT
    assert "0 seconds" in slow.message


def test_the_table_has_a_line_for_each_host_and_says_each_message_once() -> None:
    refused = Result(DEAD_END, "no labels")
    rows = {name: {"input": refused} for name in ("timm: swin", "timm: ViT")}
    text = table(rows)
    assert "| timm: swin | **D** |" in text
    assert text.count("no labels") == 1
