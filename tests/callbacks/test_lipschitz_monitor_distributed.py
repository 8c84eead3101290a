"""LipschitzMonitor on two processes: the numbers of one, with whole and with sharded weights."""

import csv
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.strategies import Strategy

from lit_intriguing.callbacks import LipschitzMonitor
from tests.callbacks.scripts import train_in
from tests.callbacks.test_adversarial_training_distributed import Host, Record, weights_of

pytestmark = pytest.mark.slow


def train(folder: Path, strategy: Strategy | str, devices: int, monitored: bool = True) -> None:
    callbacks = [LipschitzMonitor(every_n_steps=2)] if monitored else []
    trainer = Trainer(
        accelerator="cpu", devices=devices, strategy=strategy, max_epochs=2, log_every_n_steps=1,
        logger=CSVLogger(folder), callbacks=[*callbacks, Record(folder)],
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        use_distributed_sampler=False,
    )  # fmt: skip
    folder.mkdir(exist_ok=True)
    trainer.fit(Host())


def logged(folder: Path) -> dict[tuple[str, int], float]:
    """Every number of the monitor by its name and step."""
    (file,) = folder.rglob("metrics.csv")
    with file.open() as lines:
        return {
            (name, int(line["step"])): float(value)
            for line in csv.DictReader(lines)
            for name, value in line.items()
            if name.startswith("lipschitz/") and value and not name.endswith("seconds")
        }


def test_two_processes_log_what_one_does_and_train_as_without(tmp_path: Path) -> None:
    train(tmp_path / "alone", "auto", 1, monitored=False)
    train(tmp_path / "one", "auto", 1)
    assert torch.equal(weights_of(tmp_path / "alone", 0), weights_of(tmp_path / "one", 0))
    one = logged(tmp_path / "one")
    assert {step for name, step in one if name == "lipschitz/network"} == {3, 7}
    assert {step for name, step in one if name == "lipschitz/net.2_estimate"} == {1, 3, 5, 7}
    for kind in ("replicated", "sharded"):
        folder = train_in(tmp_path / kind, __name__, kind)
        assert torch.equal(weights_of(folder, 0), weights_of(folder, 1))
        found = logged(folder)
        assert found.keys() == one.keys()
        for (name, step), value in found.items():
            # The joint bound is found by a search, which weights that differ by roundings may end.
            tolerance = 1e-3 if name.endswith("joint") else 1e-5
            assert value == pytest.approx(one[name, step], rel=tolerance)
        assert len(list(folder.rglob("lipschitz/step-*.png"))) == 2
