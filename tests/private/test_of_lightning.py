"""The private parts of Lightning and torch that the package leans on: what broke, by name."""

import inspect

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.loops.fit_loop import _FitLoop
from lightning.pytorch.loops.optimization.automatic import _AutomaticOptimization
from lightning.pytorch.strategies import Strategy
from lightning.pytorch.trainer.connectors.checkpoint_connector import _CheckpointConnector
from lightning.pytorch.trainer.connectors.logger_connector.logger_connector import (
    _LoggerConnector,
)


def test_training_goes_through_the_strategys_training_step_looked_up_by_name() -> None:
    source = inspect.getsource(_AutomaticOptimization._training_step)
    assert '_call_strategy_hook(trainer, "training_step"' in source
    assert "training_step" in vars(Strategy)


def test_metrics_are_written_when_the_logger_connector_says_so() -> None:
    assert isinstance(_LoggerConnector.should_update_logs, property)
    source = inspect.getsource(_LoggerConnector.update_train_step_metrics)
    assert "fit_loop._should_accumulate() and" in source
    assert "should_update_logs" in source


def test_callbacks_are_restored_for_evaluation_as_well() -> None:
    assert hasattr(_CheckpointConnector, "restore_callbacks")


@pytest.mark.parametrize("name", ["_should_accumulate", "_load_combined_loader_states"])
def test_fit_loop_has(name: str) -> None:
    assert callable(getattr(_FitLoop, name))


def test_fit_loop_keeps_its_loaders_and_its_trainer_its_connector() -> None:
    trainer = Trainer(logger=False, enable_checkpointing=False, accelerator="cpu")
    assert hasattr(trainer.fit_loop, "_combined_loader")
    assert hasattr(trainer, "_logger_connector")


def test_a_backward_pass_is_told_by_the_graph_task() -> None:
    seen = []
    x = torch.ones(1, requires_grad=True)
    y = x * 2
    y.register_hook(lambda gradient: seen.append(torch._C._current_graph_task_id()))
    assert torch._C._current_graph_task_id() == -1
    y.sum().backward()
    assert seen[0] != -1
