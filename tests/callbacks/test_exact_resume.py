"""Crash and resume, with all that draws random numbers or keeps a position in play."""

import random
import shutil
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback, Trainer, seed_everything
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor
from torch.multiprocessing import ProcessRaisedException

from lit_intriguing.callbacks.exact_resume import ExactResume, rng_state, set_rng_state
from lit_intriguing.data.tensor_module import Split, TensorDataModule
from lit_intriguing.errors import UserError
from lit_intriguing.models import Classifier, CosineOverRun

ROWS, BATCH, EPOCHS = 40, 8, 3
STEPS = ROWS // BATCH


EPOCH = SimpleNamespace(ready=1, started=1, processed=0)
FIT_LOOP = SimpleNamespace(epoch_progress=SimpleNamespace(current=EPOCH, total=EPOCH))


class CrashError(Exception):
    pass


class CrashAt(Callback):
    """Ends the process's run at the start of a step, after its checkpoint was written."""

    def __init__(self, step: int | None) -> None:
        self.step = step

    def on_train_batch_start(self, trainer: Trainer, *args: Any) -> None:
        if trainer.global_step == self.step:
            raise CrashError


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class Random(TensorDataModule):
    """A small data set of noise; 20 of its 40 examples are a validation and a test set as well."""

    def __init__(self) -> None:
        super().__init__(BATCH, BATCH, drop_last=False, seed=0)

    def load_training(self) -> tuple[Split, Split]:
        generator = torch.Generator().manual_seed(0)
        x = torch.rand(ROWS, 4, generator=generator)
        y = torch.randint(3, (ROWS,), generator=generator)
        return Split(x, y), Split(x[:20], y[:20])

    def load_test(self) -> Split:
        return self.load_training()[1]


class AsksForItsLengthEarly(Classifier):
    """Reads the length of the run before the checkpoint is loaded, as many modules do."""

    def configure_optimizers(self) -> Any:
        assert self.trainer.estimated_stepping_batches > 0
        return super().configure_optimizers()


def model(kind: type[Classifier] = Classifier) -> Classifier:
    return kind((4, 6, 3), scheduler=CosineOverRun, dropout=[0.2, 0.5])


def quiet_trainer(**options: Any) -> Trainer:
    return Trainer(
        **options,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def train(
    folder: Path,
    crash: int | None = None,
    resume: Path | None = None,
    every: int | None = 1,
    exact: bool | ExactResume = True,
    kind: type[Classifier] = Classifier,
    callbacks: Sequence[Callback] = (),
    **options: Any,
) -> Classifier:
    """Train to the end, or to the crash; resuming starts from other random states."""
    seed_everything(99 if resume else 0, verbose=False)
    built = model(kind)
    if resume:
        seed_everything(98, verbose=False)
    saving = ModelCheckpoint(folder, save_last=True, save_top_k=1, every_n_train_steps=every)
    end = {} if "max_steps" in options else {"max_epochs": EPOCHS}
    resuming = [ExactResume() if exact is True else exact] if exact else []
    quiet_trainer(**end, **options, callbacks=[CrashAt(crash), saving, *resuming, *callbacks]).fit(
        built,
        datamodule=Random(),
        ckpt_path=resume,
        weights_only=True if resume else None,
    )
    return built


def length(options: dict[str, Any]) -> int:
    """The optimiser steps of a run with these options of the trainer."""
    if "max_steps" in options:
        return int(options["max_steps"])
    batches = options.get("limit_train_batches", STEPS)
    return EPOCHS * -(-batches // options.get("accumulate_grad_batches", 1))


def weights(of: Classifier) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in of.parameters()])


def resumed(
    folder: Path, crash: int, error: type[Exception] = CrashError, **options: Any
) -> Classifier:
    with pytest.raises(error, match="CrashError" if error is not CrashError else None):
        train(folder, crash=crash, **options)
    # Out of the folder, as a checkpoint callback warns of one that is not empty.
    saved = (folder / "last.ckpt").rename(folder.parent / "saved.ckpt")
    shutil.rmtree(folder)
    return train(folder, resume=saved, **options)


class Counts(Callback):
    """Numbers of the steps that were taken."""

    def __init__(self) -> None:
        self.steps: list[int] = []

    def on_train_batch_start(self, trainer: Trainer, *args: Any) -> None:
        self.steps.append(trainer.global_step)


class Others(Random):
    """As many examples of which others are held out."""

    def load_training(self) -> tuple[Split, Split]:
        whole, held_out = super().load_training()
        return Split(whole.inputs.flip(0), whole.labels.flip(0)), held_out


@pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`")
def test_other_training_data_than_the_checkpoint_s_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CrashError):
        train(tmp_path / "run", crash=STEPS + 1)
    saved = (tmp_path / "run" / "last.ckpt").rename(tmp_path / "saved.ckpt")

    def goes_on(resume: ExactResume) -> None:
        trainer = quiet_trainer(max_epochs=2, callbacks=[resume], enable_checkpointing=False)
        trainer.fit(model(), datamodule=Others(), ckpt_path=saved, weights_only=True)

    with pytest.raises(UserError, match=r"not that of the checkpoint \(0\.hash .*other_data=True"):
        goes_on(ExactResume())
    goes_on(ExactResume(other_data=True))


@pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`")
@pytest.mark.parametrize("size", [BATCH, BATCH // 2])
def test_another_batch_size_than_the_checkpoint_s_gives_one_clear_sentence(
    size: int, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    with pytest.raises(CrashError):
        train(tmp_path / "run", crash=STEPS)
    saved = (tmp_path / "run" / "last.ckpt").rename(tmp_path / "saved.ckpt")
    data = Random()
    data.batch_size = size
    trainer = quiet_trainer(max_epochs=2, callbacks=[ExactResume()], enable_checkpointing=False)
    recwarn.clear()
    trainer.fit(model(), datamodule=data, ckpt_path=saved, weights_only=True)
    said = [str(one.message) for one in recwarn if "ExactResume" in str(one.message)]
    expected = [
        "ExactResume: the checkpoint is of a run with batches of 8, and this one has batches of 4, "
        "so that it goes on as no uninterrupted run would."
    ]
    assert said == (expected if size != BATCH else [])


@pytest.mark.parametrize("options", [{}, {"limit_val_batches": 0}], ids=str)
@pytest.mark.parametrize("crashes", [(STEPS, STEPS + 2), (STEPS, 2 * STEPS), (STEPS + 1, 12)])
def test_restarted_several_times_it_trains_no_longer(
    tmp_path: Path, crashes: tuple[int, ...], options: dict[str, Any]
) -> None:
    # After a restart from an epoch's last batch Lightning's counters stay one epoch behind.
    restart = None
    for crash in crashes:
        with pytest.raises(CrashError):
            train(tmp_path / "run", crash, restart, **options)
        restart = (tmp_path / "run" / "last.ckpt").rename(tmp_path / f"{crash}.ckpt")
        shutil.rmtree(tmp_path / "run")  # a checkpoint callback warns of a folder with files
    counts = Counts()
    again = train(tmp_path / "run", resume=restart, callbacks=[counts], **options)
    assert counts.steps == list(range(crashes[-1], EPOCHS * STEPS))
    assert torch.equal(weights(again), weights(train(tmp_path / "whole", **options)))


@pytest.mark.integration
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"limit_val_batches": 0},
        {"check_val_every_n_epoch": 2},
        {"check_val_every_n_epoch": None, "val_check_interval": 3},
        {"val_check_interval": 2},
        {"limit_train_batches": 4},
        {"accumulate_grad_batches": 2},
        {"max_steps": 2 * STEPS + 1},
    ],
    ids=str,
)
@pytest.mark.parametrize("crash", [1, STEPS - 1, STEPS, STEPS + 1, 2 * STEPS])
def test_killed_at_any_step_and_resumed_is_bit_identical(
    tmp_path: Path, crash: int, options: dict[str, Any]
) -> None:
    crash = min(crash, length(options) - 1)
    straight = train(tmp_path / "straight", **options)
    again = resumed(tmp_path / "killed", crash, **options)
    assert torch.equal(weights(straight), weights(again))


def test_resumed_from_a_checkpoint_some_steps_before_the_crash_is_bit_identical(
    tmp_path: Path,
) -> None:
    straight = train(tmp_path / "straight", every=3)
    again = resumed(tmp_path / "killed", STEPS + 3, every=3)
    assert torch.equal(weights(straight), weights(again))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"limit_val_batches": 0},
        {"check_val_every_n_epoch": 2},
        {"val_check_interval": 2},
        {"max_steps": 2 * STEPS + 1},
        {"limit_train_batches": 4},
        {"limit_train_batches": 4, "max_steps": 11},
    ],
    ids=str,
)
@pytest.mark.parametrize("crash", [2 * STEPS, 2 * STEPS + 3])
def test_resumed_from_the_checkpoint_of_an_epoch_s_end_is_bit_identical(
    tmp_path: Path, crash: int, options: dict[str, Any]
) -> None:
    crash = min(crash, length(options) - 1)
    straight = train(tmp_path / "straight", every=None, **options)
    again = resumed(tmp_path / "killed", crash, every=None, **options)
    assert torch.equal(weights(straight), weights(again))


@pytest.mark.parametrize("crash", [STEPS - 1, STEPS, STEPS + 1])
def test_a_module_that_asks_early_for_the_length_of_the_run_resumes_exactly(
    tmp_path: Path, crash: int
) -> None:
    straight = train(tmp_path / "straight", kind=AsksForItsLengthEarly)
    again = resumed(tmp_path / "killed", crash, kind=AsksForItsLengthEarly)
    assert torch.equal(weights(straight), weights(again))


@pytest.mark.integration
@pytest.mark.parametrize("crash", [1, 3, 4])
def test_two_processes_killed_and_resumed_are_bit_identical(tmp_path: Path, crash: int) -> None:
    options = {"strategy": "ddp_fork", "devices": 2}
    straight = train(tmp_path / "straight", **options)
    again = resumed(tmp_path / "killed", crash, ProcessRaisedException, **options)
    assert torch.equal(weights(straight), weights(again))


def test_without_the_callback_dropout_draws_other_numbers_after_the_restart(
    tmp_path: Path,
) -> None:
    straight = train(tmp_path / "straight", exact=False)
    again = resumed(tmp_path / "killed", STEPS + 1, exact=False)
    assert not torch.equal(weights(straight), weights(again))


def test_the_callback_alone_leaves_the_trained_weights_as_they_are(tmp_path: Path) -> None:
    with_it, without = train(tmp_path / "a"), train(tmp_path / "b", exact=False)
    assert torch.equal(weights(with_it), weights(without))


@pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`")
@pytest.mark.parametrize("evaluate", ["validate", "test", "predict"])
def test_a_checkpoint_evaluated_before_does_not_touch_a_fit(tmp_path: Path, evaluate: str) -> None:
    train(tmp_path / "earlier")
    straight = train(tmp_path / "straight")
    exact = ExactResume()
    path = tmp_path / "earlier" / "last.ckpt"
    getattr(quiet_trainer(callbacks=[exact]), evaluate)(
        model(), datamodule=Random(), ckpt_path=path, weights_only=True
    )
    assert torch.equal(weights(train(tmp_path / "after", exact=exact)), weights(straight))


@pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`")
def test_a_checkpoint_whose_evaluation_failed_does_not_touch_a_fit(tmp_path: Path) -> None:
    train(tmp_path / "earlier")
    straight = train(tmp_path / "straight")

    class Broken(Classifier):
        def test_step(self, batch: Any, batch_idx: int) -> None:
            raise CrashError

    exact = ExactResume()
    path = tmp_path / "earlier" / "last.ckpt"
    with pytest.raises(CrashError):
        quiet_trainer(callbacks=[exact]).test(
            model(Broken), datamodule=Random(), ckpt_path=path, weights_only=True
        )
    assert torch.equal(weights(train(tmp_path / "after", exact=exact)), weights(straight))


def test_the_states_of_all_ranks_are_let_go_once_this_rank_has_its_own() -> None:
    callback, other = ExactResume(), rng_state()
    gone = weakref.ref(other["torch"])
    callback.load_state_dict({"ranks": {"0": rng_state(), "1": other}})
    del other
    assert gone() is not None
    callback.on_train_batch_start(
        SimpleNamespace(world_size=2, global_rank=0, fit_loop=FIT_LOOP), model(), None, 0
    )
    assert gone() is None


def test_restored_generators_draw_the_same_numbers() -> None:
    def draw() -> tuple[float, float, float]:
        return random.random(), np.random.standard_normal(), torch.rand(()).item()

    np.random.standard_normal()  # leaves a second number in NumPy's store
    state = rng_state()
    first = draw()
    draw()
    set_rng_state(state)
    assert draw() == first


def test_the_states_are_loadable_with_weights_only(tmp_path: Path) -> None:
    torch.save(ExactResume().state_dict(), tmp_path / "state")
    callback = ExactResume()
    callback.load_state_dict(torch.load(tmp_path / "state", weights_only=True))
    assert len(callback.state_dict()["ranks"]) == 1


def test_a_checkpoint_of_another_number_of_processes_is_used_with_a_warning() -> None:
    class OneProcess:
        fit_loop = FIT_LOOP
        world_size, global_rank = 1, 0

    callback, module = ExactResume(), model()
    first = rng_state()
    drawn = torch.rand(3)
    callback.load_state_dict({"ranks": {"0": first, "1": rng_state()}})
    with pytest.warns(UserWarning, match=r"random states of 2 processes and this run has 1"):
        callback.on_train_batch_start(OneProcess(), module, None, 0)
    assert torch.equal(torch.rand(3), drawn)
