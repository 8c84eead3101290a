"""Adversarial training on a device: resume, mixed precision, two ranks, no trace of measuring."""

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from lit_intriguing import callbacks as ours
from lit_intriguing.attacks import GradientAttack
from tests.faults.ends import differences, same_leaves
from tests.gpu.training import DEVICES, GPUS, train, weights


@pytest.mark.filterwarnings("ignore:The dirpath has changed")
@pytest.mark.parametrize("device", DEVICES)
def test_a_resumed_run_ends_as_the_whole_one(device: str, tmp_path: Path) -> None:
    train(device, tmp_path / "whole", epochs=3)
    train(device, tmp_path / "first", epochs=1)
    train(device, tmp_path / "rest", epochs=3, resume=str(tmp_path / "first" / "epoch=0.ckpt"))
    ends = [tmp_path / folder / "epoch=2.ckpt" for folder in ("whole", "rest")]
    assert differences(*ends) == []


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
@pytest.mark.parametrize("precision", ["bf16-mixed", "16-mixed"])
def test_mixed_precision_learns_the_digits(device: str, precision: str, tmp_path: Path) -> None:
    if device == "cpu" and precision == "16-mixed":
        precision = "bf16-true"  # Lightning has no 16-mixed on the CPU
    trainer = train(device, tmp_path, epochs=4, precision=precision)
    assert all(bool(one.isfinite().all()) for one in weights(trainer).values())
    assert float(trainer.callback_metrics["val/error"]) < 0.25


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


@pytest.mark.gpu
@pytest.mark.filterwarnings("ignore:The dirpath has changed")
@pytest.mark.skipif(GPUS < 2, reason="two GPUs are not visible")
def test_two_gpus_train_one_network(tmp_path: Path) -> None:
    both: dict[str, Any] = {"devices": 2, "strategy": "ddp_fork"}
    trainer = train("cuda", tmp_path / "first", epochs=4, **both)
    assert float(trainer.callback_metrics["val/error"]) < 0.25
    last = tmp_path / "first" / "epoch=3.ckpt"
    train("cuda", tmp_path / "rest", epochs=5, resume=str(last), **both)
    assert torch.load(tmp_path / "rest" / "epoch=4.ckpt", weights_only=True)["epoch"] == 4
