"""No hook of a callback of ours moves the global random states, whatever it builds or calls."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback, Trainer
from torch import Tensor, nn

from lit_intriguing import callbacks as ours
from lit_intriguing.attacks import GradientAttack
from lit_intriguing.data import Digits
from lit_intriguing.models import Classifier, SparseAutoencoder

HOOKS = [
    name
    for name in dir(Callback)
    if name.startswith(("on_", "setup", "teardown", "state_dict", "load_state_dict"))
]
RESTORING = {("ExactResume", "on_train_epoch_start"), ("ExactResume", "on_train_batch_start")}
"""Whose documented job it is to set the states."""


class Drawing(GradientAttack):
    """As an attack of another library: it draws from all global generators."""

    def search(self, *args: Any, **options: Any) -> Tensor:
        random.random(), np.random.rand(), torch.rand(1)
        return super().search(*args, **options)


ATTACK = Drawing(eps=0.3, steps=2)
MADE: dict[str, Callable[[], Callback]] = {
    "AdversarialExamples": lambda: ours.AdversarialExamples(ATTACK, examples=4, every_n_steps=2),
    "AdversarialTraining": lambda: ours.AdversarialTraining(
        {
            "": ours.PerturbedLayer(ATTACK, pool=32, mix=8, refresh=8),
            "hidden1": ours.PerturbedLayer(ATTACK, pool=32, mix=8, refresh=8, relative=True),
        }
    ),
    "Convergence": ours.Convergence,
    "ExactResume": ours.ExactResume,
    "AdversarialWeightPerturbation": ours.AdversarialWeightPerturbation,
    "FullyShard": ours.FullyShard,
    "LipschitzMonitor": lambda: ours.LipschitzMonitor(every_n_steps=2),
    "LipschitzPenalty": lambda: ours.LipschitzPenalty(0.1),
    "LoggerGuard": ours.LoggerGuard,
    "LogisticFromTanh": ours.LogisticFromTanh,
    "MovingAverage": ours.MovingAverage,
    "RobustnessEvaluation": lambda: ours.RobustnessEvaluation(
        {"drawing": ATTACK}, {"l2": [0.3]}, examples=4, every_n_steps=2
    ),
    "RunProgress": ours.RunProgress,
    "SparseFilters": lambda: ours.SparseFilters(0.1, 0.4),
    "TrainingError": ours.TrainingError,
    "TransferEvaluation": lambda: ours.TransferEvaluation(
        ATTACK, {"other": nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(64, 10))},
        examples=4, every_n_steps=2,
    ),
    "UnitAnalysis": lambda: ours.UnitAnalysis(["hidden1"], examples=60, rotations=2),
}  # fmt: skip


def states() -> tuple[Any, ...]:
    numpy: Any = np.random.get_state()
    return random.getstate(), numpy[1].tobytes(), *numpy[2:], torch.get_rng_state().tolist()


def watched(callback: Callback) -> list[str]:
    """Compare the states around each hook; return the names of those that ran, as they run."""
    called: list[str] = []

    def watch(name: str) -> None:
        original = getattr(callback, name)

        def hook(*args: Any, **options: Any) -> Any:
            before = states()
            result = original(*args, **options)
            if (type(callback).__name__, name) not in RESTORING:
                assert states() == before, f"{name} moved a random state"
            called.append(name)
            return result

        setattr(callback, name, hook)

    for name in HOOKS:
        watch(name)
    return called


def host(name: str) -> Any:
    if name == "SparseFilters":
        return SparseAutoencoder(64, 30, optimizer=lambda p: torch.optim.Adam(p, lr=1e-2))
    if name == "LogisticFromTanh":
        return Classifier([64, 20, 20, 10], activation=nn.Tanh)
    return Classifier([64, 20, 20, 10], dropout=[0.2, 0.3, 0.3])


def test_every_callback_of_ours_is_tried() -> None:
    assert set(MADE) == set(ours.__all__) - {"PerturbedLayer", "UnderAttack"}


@pytest.mark.filterwarnings("ignore:.* Raise max_epochs:UserWarning")
@pytest.mark.parametrize("name", MADE)
def test_hooks_leave_the_random_states_of_python_numpy_and_torch(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = host(name)
    before = states()
    callback = MADE[name]()
    if name != "TransferEvaluation":  # whose reference is built here, by the test
        assert states() == before
    called = watched(callback)

    def trainer(steps: int) -> Trainer:
        return Trainer(
            max_steps=steps, accelerator="cpu", logger=False, callbacks=[callback],
            default_root_dir=tmp_path, enable_progress_bar=name == "RunProgress",
            enable_model_summary=False, enable_checkpointing=False,
        )  # fmt: skip

    data = Digits(batch_size=2000 if name == "Convergence" else 300, validation=100)
    first = trainer(4)
    first.fit(model, datamodule=data)
    first.save_checkpoint(tmp_path / "after.ckpt")
    second = trainer(6)
    second.fit(model, datamodule=data, ckpt_path=tmp_path / "after.ckpt", weights_only=True)
    assert second.global_step == 6
    expected = {"on_train_batch_start", "on_train_batch_end", "on_validation_end", "teardown"}
    assert expected | {"on_train_epoch_end", "on_save_checkpoint"} <= set(called)


@pytest.mark.parametrize("name", ["AdversarialTraining", "LipschitzPenalty"])
def test_what_a_training_callback_does_within_a_step_draws_aside(name: str, tmp_path: Path) -> None:
    def after(*callbacks: Callback) -> tuple[Any, ...]:
        torch.manual_seed(0)
        random.seed(0)
        np.random.seed(0)
        Trainer(
            max_steps=6, accelerator="cpu", logger=False, callbacks=list(callbacks),
            default_root_dir=tmp_path, enable_progress_bar=False, enable_model_summary=False,
            enable_checkpointing=False,
        ).fit(Classifier([64, 20, 20, 10]), datamodule=Digits(batch_size=300))  # fmt: skip
        return states()

    assert after(MADE[name]()) == after()
