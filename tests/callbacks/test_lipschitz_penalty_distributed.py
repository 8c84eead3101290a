"""LipschitzPenalty on two processes: the steps of one, with whole and with sharded weights."""

from pathlib import Path

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.strategies import Strategy
from torch import Tensor

from lit_intriguing.callbacks import LipschitzPenalty
from tests.callbacks.scripts import train_in
from tests.callbacks.test_adversarial_training_distributed import Host, Record, weights_of

pytestmark = pytest.mark.slow


def train(folder: Path, strategy: Strategy | str, devices: int, weight: float = 0.5) -> None:
    trainer = Trainer(
        accelerator="cpu", devices=devices, strategy=strategy, max_steps=6, logger=False,
        callbacks=[LipschitzPenalty(weight), Record(folder)], enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, use_distributed_sampler=False,
    )  # fmt: skip
    trainer.fit(Host())


def trained(folder: Path, kind: str) -> Tensor:
    train_in(folder, __name__, kind)
    if kind != "one process":
        assert torch.equal(weights_of(folder, 0), weights_of(folder, 1))
    return weights_of(folder, 0)


def test_two_processes_train_as_one_with_replicated_and_with_sharded_weights(
    tmp_path: Path,
) -> None:
    train(tmp_path, "auto", 1, weight=0.0)
    without = weights_of(tmp_path, 0)
    train(tmp_path, "auto", 1)
    one = weights_of(tmp_path, 0)
    assert (one - without).abs().max() > 0.01
    for kind in ("replicated", "sharded"):
        torch.testing.assert_close(trained(tmp_path / kind, kind), one, rtol=1e-5, atol=1e-6)
