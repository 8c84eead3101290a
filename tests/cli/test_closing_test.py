"""What a run says of its test."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from lit_intriguing.cli.closing_test import report


def trainer(**metrics: float) -> Any:
    named = {name.replace("_", "/", 1): torch.tensor(value) for name, value in metrics.items()}
    return SimpleNamespace(callback_metrics=named, is_global_zero=True)


def test_an_error_is_said_alone_beside_the_paper_s(capsys: pytest.CaptureFixture[str]) -> None:
    report(trainer(test_error=0.0123, test_loss=2.0), "below 1.2%")
    assert capsys.readouterr().out == "test error 1.23% (paper: below 1.2%)\n"


def test_without_an_error_all_figures_of_the_test_are_said_and_no_others(
    capsys: pytest.CaptureFixture[str],
) -> None:
    report(trainer(test_rmse=0.70713, test_r2=0.5, train_loss=3.0), None)
    assert capsys.readouterr().out == "test rmse 0.7071\ntest r2 0.5\n"


def test_other_processes_say_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    one = trainer(test_rmse=0.7)
    one.is_global_zero = False
    report(one, None)
    assert capsys.readouterr().out == ""
