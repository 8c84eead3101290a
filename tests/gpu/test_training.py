"""Adversarial training on a device: resume, mixed precision, two ranks, no trace of measuring."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.plugins import MixedPrecision

from lit_intriguing import callbacks as ours
from lit_intriguing.attacks import GradientAttack
from tests.faults.ends import differences, same_leaves
from tests.gpu.training import DEVICES, TWO_DEVICES, train, weights


def options(device: str, precision: str) -> dict[str, Any]:
    """Return the options of a Trainer; its own `16-mixed` is another on the CPU."""
    if device == "cpu" and precision == "16-mixed":
        return {"plugins": [MixedPrecision("16-mixed", "cpu")]}
    return {"precision": precision}


def scaler_of(checkpoint: Path) -> dict[str, Any] | None:
    """Return what a checkpoint holds of the scaler of gradients, or None."""
    found: dict[str, Any] | None = torch.load(checkpoint, weights_only=True).get("MixedPrecision")
    return found or None


@pytest.mark.filterwarnings("ignore:The dirpath has changed")
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "16-mixed"])
def test_a_resumed_run_ends_as_the_whole_one(device: str, precision: str, tmp_path: Path) -> None:
    whole, first, rest = (tmp_path / name for name in ("whole", "first", "rest"))
    train(device, whole, epochs=3, **options(device, precision))
    train(device, first, epochs=1, **options(device, precision))
    saved = first / "epoch=0.ckpt"
    train(device, rest, epochs=3, resume=str(saved), **options(device, precision))
    ends = [folder / "epoch=2.ckpt" for folder in (whole, rest)]
    assert differences(*ends) == []
    before, after = scaler_of(saved), scaler_of(ends[1])
    if precision != "16-mixed":
        assert before is after is None
        return
    assert before is not None
    assert after is not None
    assert after == scaler_of(ends[0])
    # It counts steps without overflow: an emptied one would have begun again at 0.
    assert 0 < before["_growth_tracker"] < after["_growth_tracker"]


@pytest.mark.parametrize("device", DEVICES)
def test_pools_lie_on_the_device(device: str, tmp_path: Path) -> None:
    class Look(Callback):
        where: frozenset[str] | set[str] = frozenset()

        def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
            training = next(
                one for one in trainer.callbacks if isinstance(one, ours.AdversarialTraining)
            )
            self.where = {one.device.type for one in training.pools.by_layer[""].tensors.values()}

    look = Look()
    train(device, tmp_path, epochs=1, callbacks=[look])
    assert look.where == {device}


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true", "16-mixed"])
def test_mixed_precision_learns_the_digits(device: str, precision: str, tmp_path: Path) -> None:
    trainer = train(device, tmp_path, epochs=4, **options(device, precision))
    assert all(bool(one.isfinite().all()) for one in weights(trainer).values())
    assert float(trainer.callback_metrics["val/error"]) < 0.25
    scaler = trainer.scaler
    assert (scaler is not None) == (precision == "16-mixed")
    assert scaler is None or (scaler.is_enabled() and scaler.get_scale() > 1)


@pytest.mark.integration
@pytest.mark.parametrize("device", DEVICES)
def test_measuring_changes_no_bit(device: str, tmp_path: Path) -> None:
    attack = GradientAttack(0.3, steps=2)
    measuring = [
        ours.AdversarialExamples(attack, examples=4, every_n_steps=5),
        ours.TransferEvaluation(attack, {}, examples=4, every_n_steps=5),
        ours.LipschitzMonitor(every_n_steps=5),
        ours.TrainingError(),
    ]
    plain = weights(train(device, tmp_path / "plain"))
    assert same_leaves(plain, weights(train(device, tmp_path / "seen", callbacks=measuring)))


def error_of_two_ranks(*words: object) -> float:
    """Train by `tests.gpu.two_ranks` and return the validation error.

    This process may have touched a GPU, and then it cannot fork.
    """
    done = subprocess.run(
        [sys.executable, "-m", "tests.gpu.two_ranks", *map(str, words)],
        cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return float(done.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.parametrize("device", TWO_DEVICES)
def test_two_ranks_train_one_network(device: str, tmp_path: Path) -> None:
    assert error_of_two_ranks(device, tmp_path / "first", 4) < 0.25
    last = tmp_path / "first" / "epoch=3.ckpt"
    assert error_of_two_ranks(device, tmp_path / "rest", 5, last) < 0.25
    assert torch.load(tmp_path / "rest" / "epoch=4.ckpt", weights_only=True)["epoch"] == 4
