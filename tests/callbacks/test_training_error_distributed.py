"""TrainingError on two processes: that of one, with whole and with sharded weights."""

import json
from pathlib import Path

import pytest
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.strategies import Strategy

from lit_intriguing.callbacks import TrainingError
from tests.callbacks.scripts import train_in
from tests.callbacks.test_adversarial_training_distributed import Host

pytestmark = pytest.mark.slow


class KeptTrainingError(TrainingError):
    """Leaves what each process measured in a file."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_end(trainer, pl_module)
        (self.folder / f"{trainer.global_rank}.json").write_text(json.dumps(self.errors))


def train(folder: Path, strategy: Strategy | str, devices: int) -> None:
    trainer = Trainer(
        accelerator="cpu", devices=devices, strategy=strategy, max_steps=40, logger=False,
        callbacks=[KeptTrainingError(folder)], enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, use_distributed_sampler=False,
    )  # fmt: skip
    trainer.fit(Host())


def test_two_processes_measure_what_one_does(tmp_path: Path) -> None:
    train(tmp_path, "auto", 1)
    one = json.loads((tmp_path / "0.json").read_text())
    assert 0 < one["train/error"] < 1
    for kind in ("replicated", "sharded"):
        folder = train_in(tmp_path / kind, __name__, kind)
        for rank in (0, 1):
            assert json.loads((folder / f"{rank}.json").read_text()) == one
