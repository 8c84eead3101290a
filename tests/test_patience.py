"""Processes wait for the first one longer than the process group's timeout."""

import time
from datetime import timedelta
from pathlib import Path

import pytest
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.strategies import DDPStrategy

from lit_intriguing.callbacks import LipschitzMonitor
from lit_intriguing.loggers.when import When
from lit_intriguing.patience import from_the_first, prepare_to_wait, wait_for_all
from tests.callbacks.test_adversarial_training_distributed import Host, Record, weights_of

SHORT, LONGER = timedelta(seconds=3), 5.0


class Slow(LipschitzMonitor):
    """Takes longer than the process group allows."""

    def _certify(self, trainer: Trainer, pl_module: LightningModule, when: When) -> None:
        time.sleep(LONGER)
        super()._certify(trainer, pl_module, when)


def train(folder: Path) -> None:
    trainer = Trainer(
        accelerator="cpu", devices=2, strategy=DDPStrategy(start_method="fork", timeout=SHORT),
        max_epochs=1, logger=False, callbacks=[Slow(), Record(folder)], enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, use_distributed_sampler=False,
        default_root_dir=folder,
    )  # fmt: skip
    trainer.fit(Host())


@pytest.mark.integration
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_bounds_that_take_longer_than_the_timeout_do_not_end_the_run(tmp_path: Path) -> None:
    train(tmp_path)
    assert weights_of(tmp_path, 1).isfinite().all()


def test_a_long_wait_is_told_once_with_what_makes_it_shorter() -> None:
    monitor = LipschitzMonitor()
    monitor._warn_of_waiting(59.0)  # warnings are errors
    with pytest.warns(UserWarning, match=r"waited 61 seconds .* \(certify_every_n_epochs\)"):
        monitor._warn_of_waiting(61.0)
    monitor._warn_of_waiting(62.0)


def test_one_process_waits_for_nobody() -> None:
    prepare_to_wait()
    wait_for_all()
    assert from_the_first({"a": 1.0}) == {"a": 1.0}
