"""The progress bar over the whole run."""

import io
import re
import time
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import GradientAccumulationScheduler

from lit_intriguing.callbacks.run_progress import RunProgress, total_batches
from tests.tiny import Memory, Tiny

STEPS = len(Memory())


def trainer(folder: Path, *callbacks: Callback, **options: object) -> Trainer:
    settings = {"max_epochs": 20, "logger": False, "enable_checkpointing": False} | options
    return Trainer(
        accelerator="cpu",
        callbacks=[RunProgress(), *callbacks],
        enable_model_summary=False,
        default_root_dir=folder,
        **settings,
    )


def shown(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [line for line in capsys.readouterr().err.splitlines() if line.startswith("Run")]


class Slow(Callback):
    """Makes each step take a given time, in seconds."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def on_train_batch_start(self, *_: object) -> None:
        time.sleep(self.seconds)


class Terminal(io.StringIO):
    """A standard error stream that claims to be a terminal."""

    def isatty(self) -> bool:
        return True


def test_without_a_terminal_a_long_run_prints_at_most_a_line_each_tenth(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trainer(tmp_path, max_epochs=200).fit(Tiny())
    lines = shown(capsys)
    assert 1 <= len(lines) <= 10
    assert re.match(r"Run: 100% 800/800 \[\d\d:\d\d<00:00, epoch 200/200, train/loss=", lines[-1])


@pytest.mark.integration
def test_the_time_left_is_that_of_all_epochs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bar = RunProgress(refresh_seconds=1e-9)
    run = trainer(tmp_path, Slow(0.1), max_epochs=10)
    run.callbacks[0] = bar
    run.fit(Tiny())
    first = shown(capsys)[0]
    assert first.startswith("Run:  10% 4/40")
    left = int(re.search(r"<00:(\d\d)", first)[1])  # 36 steps of 0.1 s, and some overhead
    assert 3 <= left <= 6


def test_on_a_terminal_one_line_is_renewed_a_few_times_a_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = Terminal()
    monkeypatch.setattr("sys.stderr", stream)
    start = time.monotonic()
    trainer(tmp_path, max_epochs=100).fit(Tiny())
    seconds = time.monotonic() - start
    text = stream.getvalue()
    assert text.count("Run:") <= 5 + 2 * seconds
    assert "400/400" in text
    assert "epoch 100/100" in text
    # What Lightning has to say stands above the bar, on a line of its own.
    above, bar, end = text.split("\n")
    assert above.split("\r")[-1] == "`Trainer.fit` stopped: `max_epochs=100` reached."
    assert bar.split("\r")[-1].startswith("Run: 100%")
    assert end == ""


def test_a_resumed_run_starts_where_it_stopped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    half = trainer(tmp_path, max_epochs=10)
    half.fit(Tiny())
    half.save_checkpoint(tmp_path / "half.ckpt")
    capsys.readouterr()
    trainer(tmp_path).fit(Tiny(), ckpt_path=tmp_path / "half.ckpt")
    lines = shown(capsys)
    assert re.match(r"Run: +\d+% (4[4-9]|[5-8]\d)/80 ", lines[0])
    assert lines[-1].startswith("Run: 100% 80/80")


@pytest.mark.parametrize(
    ("options", "total"),
    [
        ({"max_epochs": 3}, 3 * STEPS),
        ({"max_epochs": 3, "limit_train_batches": 2}, 6),
        ({"max_epochs": 3, "max_steps": 5}, 5),
        ({"max_epochs": -1, "max_steps": 5}, 5),
        ({"max_epochs": 9, "max_steps": 5, "accumulate_grad_batches": 2}, 10),
        ({"max_epochs": 9, "max_steps": 5, "accumulate_grad_batches": 3}, 2 * STEPS + 3),
    ],
)
def test_the_total_is_what_the_run_will_do(
    options: dict[str, int], total: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = trainer(tmp_path, **options)
    run.fit(Tiny())
    assert total_batches(run) == total
    assert shown(capsys)[-1].startswith(f"Run: 100% {total}/{total} ")


@pytest.mark.parametrize(
    ("schedule", "steps", "total"),
    [({0: 2, 1: 1}, 5, STEPS + 3), ({1: 3}, 7, STEPS + 3 + 1 + 3), ({2: 8}, 11, 2 * STEPS + 3 * 4)],
    ids=str,
)
def test_the_total_is_known_from_the_first_batch_where_accumulation_changes(
    schedule: dict[int, int], steps: int, total: int, tmp_path: Path
) -> None:
    totals = []

    class Watch(Callback):
        def on_train_batch_start(self, trainer: Trainer, *_: object) -> None:
            totals.append(total_batches(trainer))

    changes = GradientAccumulationScheduler(schedule)
    run = trainer(tmp_path, changes, Watch(), max_epochs=-1, max_steps=steps)
    run.fit(Tiny())
    assert run.global_step == steps
    assert totals == [total] * total


def test_it_leaves_the_weights_alone(tmp_path: Path) -> None:
    weights = []
    for shows in (True, False):
        torch.manual_seed(0)
        model = Tiny()
        run = trainer(tmp_path, max_epochs=2)
        if not shows:
            run.callbacks.clear()
        run.fit(model)
        weights.append(model.net.weight.detach())
    assert torch.equal(*weights)


def test_an_error_in_training_closes_the_bar(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Fails(Callback):
        def on_train_batch_start(self, *_: object) -> None:
            raise RuntimeError("stop here")

    stream = Terminal()
    monkeypatch.setattr("sys.stderr", stream)
    with pytest.raises(RuntimeError, match="stop here"):
        trainer(tmp_path, Fails()).fit(Tiny())
    assert stream.getvalue().endswith("\n")


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan")])
def test_a_refresh_time_that_is_not_positive_is_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match="refresh_seconds must be positive"):
        RunProgress(refresh_seconds=seconds)


def test_the_success_of_adversarial_examples_is_shown_as_a_mean_over_layers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Success(Callback):
        """Logs what `AdversarialTraining` logs."""

        def on_train_batch_end(self, trainer: Trainer, module: Tiny, *_: object) -> None:
            layers = {"input": 0.25, "hidden1": 0.75}
            module.log_dict({f"adversarial/{name}/success": x for name, x in layers.items()})
            module.log("adversarial/input/distortion", 9.0)

    trainer(tmp_path, Success(), max_epochs=5).fit(Tiny())
    assert "adversarial/success=0.5]" in shown(capsys)[-1]
