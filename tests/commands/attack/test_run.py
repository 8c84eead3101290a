"""The attack inside the predict loop."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch.callbacks import TQDMProgressBar
from lightning.pytorch.strategies import FSDPStrategy

from lit_intriguing.attacks import GradientAttack
from lit_intriguing.commands.attack.run import AttackRun
from lit_intriguing.errors import UserError
from lit_intriguing.splits.resumable_store import Store
from lit_intriguing.splits.split import SplitData
from lit_intriguing.trainer import Trainer
from tests.commands.attack.digits import QUIET
from tests.commands.attack.others import OwnData, images


def attack(folder: Path, **trainer: object) -> Trainer:
    made = Trainer(**{**QUIET, "enable_checkpointing": False, **trainer})
    attack = GradientAttack(1.0)
    made.attack(OwnData(), attack=attack, chunk=10, output=str(folder), only_correct=False)
    return made


def test_the_trainer_is_left_as_it_was(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = OwnData().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    trainer = Trainer(**QUIET, enable_checkpointing=False)
    callbacks = list(trainer.callbacks)
    state = torch.get_rng_state()
    trainer.attack(model, output=str(tmp_path / "out"), chunk=10)
    assert torch.equal(torch.get_rng_state(), state)
    assert trainer.callbacks == callbacks
    assert "predict_step" not in vars(trainer.strategy)
    assert model.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(one.grad is None for one in model.parameters())
    (answer,) = trainer.predict(model, dataloaders=[images(1)])
    assert torch.equal(answer, model(images(1)[0]))


def test_examples_are_made_in_single_precision_of_a_half_precision_model(tmp_path: Path) -> None:
    attack(tmp_path / "out", precision="bf16-true")
    found = torch.load(tmp_path / "out" / "examples.pt", weights_only=True)
    assert found["adversarial"].dtype == torch.float32


def test_another_precision_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    attack(tmp_path / "out")
    with pytest.raises(UserError, match="precision 32-true -> bf16-mixed"):
        attack(tmp_path / "out", precision="bf16-mixed")


def test_too_small_a_disk_is_told_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = SimpleNamespace(free=10)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(UserError, match=r"the examples need 0\.0 MB .* set limit"):
        attack(tmp_path / "out")
    assert Store(tmp_path / "out").indices() == []


def test_a_strategy_that_takes_the_model_apart_is_refused(tmp_path: Path) -> None:
    data = SplitData(OwnData(), "test", 10, None)
    run = AttackRun(SimpleNamespace(), Store(tmp_path), data)
    trainer = SimpleNamespace(strategy=FSDPStrategy.__new__(FSDPStrategy))
    with pytest.raises(UserError, match="no attack under FSDPStrategy"):
        run.on_predict_start(trainer, OwnData())


@pytest.mark.parametrize("shown", [True, False])
def test_a_bar_counts_the_chunks_where_a_bar_is_wanted(
    shown: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trainer = attack(tmp_path / "out", enable_progress_bar=shown)
    out, err = capsys.readouterr()
    assert ("Attack: 100%" in err) == shown
    assert ("3/3" in err) == shown
    assert "Predicting" not in out
    bar = trainer.progress_bar_callback
    assert bar is None or not isinstance(bar, TQDMProgressBar) or bar.is_enabled
