from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from lit_intriguing.data.tensor_module import Split, TensorDataModule
from lit_intriguing.models import Classifier


class Rows(TensorDataModule):
    """Eight examples to train on; as many held out where asked."""

    def __init__(self, held_out: bool = False) -> None:
        super().__init__(4, 4, drop_last=False, seed=0)
        self.held_out = held_out

    def load_training(self) -> tuple[Split, Split | None]:
        return self.load_test(), self.load_test() if self.held_out else None

    def load_test(self) -> Split:
        return Split(torch.ones(8, 4), torch.arange(8) % 3)


class Breaking(Classifier):
    """Fails in its first training step."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        raise RuntimeError("broken")


def trainer(**options: Any) -> Trainer:
    return Trainer(
        accelerator="cpu",
        max_epochs=1,
        limit_val_batches=0.5,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **options,
    )


def model(kind: type[Classifier] = Classifier) -> LightningModule:
    return kind((4, 6, 3))


def test_validation_is_off_in_a_fit_without_held_out_examples_and_back_after_it() -> None:
    seen = []

    class Watching(Classifier):
        def on_train_start(self) -> None:
            seen.append(self.trainer.limit_val_batches)

    run = trainer()
    run.fit(model(Watching), datamodule=Rows())
    assert seen == [0]
    assert run.limit_val_batches == 0.5


def test_a_fit_that_fails_gives_the_trainer_its_validation_back() -> None:
    run = trainer()
    with pytest.raises(RuntimeError, match="broken"):
        run.fit(model(Breaking), datamodule=Rows())
    assert run.limit_val_batches == 0.5


def test_a_trainer_whose_fit_failed_validates_the_next_fit_s_held_out_examples() -> None:
    run = trainer()
    with pytest.raises(RuntimeError, match="broken"):
        run.fit(model(Breaking), datamodule=Rows())
    run.fit(model(), datamodule=Rows(held_out=True))
    assert "val/error" in run.callback_metrics


def test_a_new_setup_takes_back_what_the_last_one_switched_off() -> None:
    data, first, second = Rows(), trainer(), trainer()
    for owner in (first, first, second):
        data.trainer = owner
        data.setup("fit")
        assert owner.limit_val_batches == 0
    assert first.limit_val_batches == 0.5
    data.setup("test")
    assert second.limit_val_batches == 0.5


def test_an_end_without_a_fit_leaves_the_trainer_s_limit_alone() -> None:
    run, data = trainer(), Rows()
    run.test(model(), datamodule=data, verbose=False)
    run.limit_val_batches = 0.25
    data.teardown("test")
    assert run.limit_val_batches == 0.25
