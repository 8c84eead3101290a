"""A run through the command line: loggers, the closing test, its line."""

import contextlib
import csv
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from lightning.pytorch import Callback, Trainer
from PIL import Image

from lit_intriguing import cli
from lit_intriguing.cli.subcommands import TRAINER_SUBCOMMANDS
from lit_intriguing.configuration import shipped
from tests.loggers.wandb_files import wandb_records

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
RUN = ["--trainer.max_epochs=2", "--trainer.accelerator=cpu", "--trainer.log_every_n_steps=2"]
TINY = ["--model=tests.tiny.Tiny", *RUN]
QUIET = ["--trainer.enable_model_summary=false", "--trainer.enable_progress_bar=false"]


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def lines_of(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [x for x in capsys.readouterr().out.splitlines() if x.startswith("test error")]


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def test_fit_ends_with_one_line_and_logs_the_same_number(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.main(["fit", *TINY, *QUIET, "--paper=below 1.2%"])
    folder = tmp_path / "lightning_logs" / "version_0"
    logged = [float(r["test/error"]) for r in rows(folder) if r["test/error"]]
    assert len(logged) == 1
    assert lines_of(capsys) == [f"test error {logged[0]:.2%} (paper: below 1.2%)"]


@pytest.mark.filterwarnings("ignore:The dirpath has changed:UserWarning")
def test_the_weights_tested_are_the_last_epochs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.main(["fit", *TINY, *QUIET])
    after_fit = lines_of(capsys)
    checkpoint = next(tmp_path.rglob("*.ckpt"))
    cli.main(["test", *TINY[:1], *QUIET, f"--ckpt_path={checkpoint}"])
    assert lines_of(capsys) == after_fit
    assert torch.load(checkpoint, weights_only=True)["epoch"] == 1


@pytest.mark.parametrize("subcommand", ["test", "attack"])
def test_weights_alone_are_refused_as_checkpoint_with_what_to_do(
    subcommand: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save({"weight": torch.zeros(2)}, tmp_path / "bare.pt")
    with pytest.raises(SystemExit):
        cli.main([subcommand, *TINY[:1], f"--ckpt_path={tmp_path / 'bare.pt'}"])
    line = capsys.readouterr().err
    assert f"{tmp_path / 'bare.pt'} holds weights alone" in line
    assert '"pytorch-lightning_version": lightning.__version__' in line


@pytest.mark.parametrize("others", [{}, {"pytorch-lightning_version": "2.5.0"}])
def test_fit_refuses_weights_without_the_optimizers_state(
    others: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "weights.ckpt"
    torch.save({"state_dict": {"weight": torch.zeros(2)}, **others}, file)
    with pytest.raises(SystemExit):
        cli.main(["fit", *TINY[:1], f"--ckpt_path={file}"])
    line = capsys.readouterr().err
    assert f"{file} holds weights alone, without the state of the optimizer" in line
    assert "save_weights_only" in line


@pytest.mark.parametrize(
    "arguments",
    [[*TINY, "--test_after_fit=false"], ["--model=tests.tiny.Untested", *RUN]],
    ids=["switched off", "no test set"],
)
def test_no_closing_test(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["fit", *arguments, *QUIET])
    assert lines_of(capsys) == []


def test_a_folder_without_test_images_is_trained_on_and_the_end_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for part in ("train", "val"):
        for label in ("a", "b"):
            (tmp_path / "images" / part / label).mkdir(parents=True)
            Image.new("RGB", (4, 4)).save(tmp_path / "images" / part / label / "0.png")
    cli.main(
        ["fit", "--model=Classifier", "--model.widths=[48, 2]", "--data=ImageFolder",
         f"--data.folder={tmp_path / 'images'}", "--data.workers=0", "--data.batch_size=1",
         *RUN, *QUIET]
    )  # fmt: skip
    out = capsys.readouterr().out
    assert "test     none: the data has no test set" in out
    assert "weights  " in out


def test_without_a_logger_nothing_is_left_but_the_checkpoint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.yaml").write_text("mine")
    cli.main(["fit", *TINY, *QUIET, "--config=configs/logger/none.yaml"])
    assert len(lines_of(capsys)) == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["checkpoints", "config.yaml"]
    assert (tmp_path / "config.yaml").read_text() == "mine"


def test_the_saved_configuration_repeats_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.main(["fit", *TINY, *QUIET, "--seed_everything=3"])
    logs = tmp_path / "lightning_logs"
    cli.main(["fit", "--config", str(logs / "version_0" / "config.yaml")])
    assert rows(logs / "version_0") == rows(logs / "version_1")


def test_the_default_seed_makes_runs_equal_and_another_seed_does_not(tmp_path: Path) -> None:
    for seed in ([], [], ["--seed_everything=1"]):
        cli.main(["fit", *TINY, *QUIET, *seed])
    first, second, third = (rows(tmp_path / "lightning_logs" / f"version_{i}") for i in range(3))
    assert first == second
    assert first != third


def test_a_class_in_the_working_directory_is_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "my_own.py").write_text("from tests.tiny import Tiny as Mine\n")
    try:
        cli.main(["fit", "--model=my_own.Mine", *RUN, *QUIET])
    finally:
        sys.path.remove(str(tmp_path))
    assert len(lines_of(capsys)) == 1


def test_fragments_add_callbacks_and_later_files_win(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ["ModelCheckpoint", "LearningRateMonitor"]
    for name in names:
        spec = {"class_path": f"lightning.pytorch.callbacks.{name}"}
        content = {"trainer": {"callbacks+": [spec], "max_epochs": len(name)}}
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(content))
    configs = [f"--config={name}.yaml" for name in names]
    with pytest.raises(SystemExit) as stopped:
        cli.main(["fit", *configs, *TINY[:1], "--print_config"])
    assert stopped.value.code == 0
    trainer = yaml.safe_load(capsys.readouterr().out)["trainer"]
    assert [c["class_path"].rsplit(".", 1)[-1] for c in trainer["callbacks"]] == names
    assert trainer["max_epochs"] == len(names[-1])


def test_tensorboard_gets_the_test_error_in_the_same_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    cli.main(["fit", *TINY, *QUIET, "--config=configs/logger/tensorboard.yaml"])
    folders = list((tmp_path / "lightning_logs").iterdir())
    assert [f.name for f in folders] == ["version_0"]
    events = accumulator.EventAccumulator(str(folders[0])).Reload()
    (value,) = events.Scalars("test/error")
    assert lines_of(capsys) == [f"test error {value.value:.2%}"]
    assert "train/loss" in events.Tags()["scalars"]


def test_wandb_offline_gets_the_test_error_in_the_same_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import wandb

    wandb.teardown()  # of another test, whose folder it would write to
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    cli.main(["fit", *TINY, *QUIET, "--config=configs/logger/wandb.yaml"])
    wandb.finish()
    wandb.teardown()  # without it the file may end after its head
    (file,) = tmp_path.rglob("run-*.wandb")
    history: dict[str, float] = {}
    for record in wandb_records(file):
        for item in record.history.item:
            history[item.key or ".".join(item.nested_key)] = yaml.safe_load(item.value_json)
    assert "train/loss" in history
    assert lines_of(capsys) == [f"test error {history['test/error']:.2%}"]


def test_two_processes_print_one_line() -> None:
    command = [str(Path(sys.executable).parent / "lightning"), "fit", *TINY, *QUIET]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, "--config=configs/trainer/ddp_cpu.yaml"],
        capture_output=True,
        text=True,
        env=environment,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "Starting with 2 processes" in done.stderr
    assert done.stdout.count("test error") == 1


# A sweep is read by wandb, not by a command of ours.
FRAGMENTS = [
    name for name in shipped.names() if name.startswith("configs/") and "/sweep/" not in name
]
WHOLE = [
    f"--config=configs/{name}.yaml"
    for name in ("model/fc100_100_10", "data/digits", "trainer/cpu", "logger/csv", "digits")
]


@pytest.mark.parametrize("name", FRAGMENTS)
def test_each_fragment_combines_with_a_whole_configuration(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main(["fit", *WHOLE, f"--config={name}", "--print_config"])
    assert stopped.value.code == 0
    result = yaml.safe_load(capsys.readouterr().out)
    for key, value in yaml.safe_load((shipped.root() / name).read_text()).items():
        assert _holds(result[key], value)


def _holds(result: object, given: object) -> bool:
    """Tells whether all that is given stands in the result."""
    if isinstance(given, dict) and isinstance(result, dict):
        return all(_holds(result[k.removesuffix("+")], v) for k, v in given.items())
    if isinstance(given, list) and isinstance(result, list):
        return all(_holds(r, g) for r, g in zip(result, given, strict=True))
    return result == given


@pytest.mark.parametrize(
    "name", [name for name in FRAGMENTS if name.startswith("configs/adversarial/")]
)
def test_a_published_scheme_trains_from_its_fragment(name: str, tmp_path: Path) -> None:
    cli.main(["fit", *WHOLE, f"--config={name}", "--trainer.max_epochs=1", *QUIET])
    found = rows(tmp_path / "lightning_logs" / "version_0")
    key = "weight_perturbation/gain" if "awp" in name else "adversarial/input/error"
    assert any(row.get(key) for row in found)


@pytest.mark.parametrize("name", ["l2", "linf", "noise"])
def test_an_attack_is_appended_to_the_callbacks_and_trains(name: str, tmp_path: Path) -> None:
    before = "--trainer.callbacks+=lightning.pytorch.callbacks.LearningRateMonitor"
    attack = f"--config=configs/attack/{name}.yaml"
    cli.main(["fit", *WHOLE, before, attack, "--trainer.max_epochs=1", *QUIET])
    folder = tmp_path / "lightning_logs" / "version_0"
    assert any(row.get("adversarial/input/loss") for row in rows(folder))
    callbacks = yaml.safe_load((folder / "config.yaml").read_text())["trainer"]["callbacks"]
    names = [callback["class_path"].rsplit(".", 1)[-1] for callback in callbacks]
    assert names == ["LearningRateMonitor", "AdversarialTraining"]


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        ([], True),
        (["--trainer.enable_progress_bar=false"], False),
        (["--trainer.callbacks=lightning.pytorch.callbacks.TQDMProgressBar"], False),
    ],
)
def test_the_bar_over_the_whole_run_is_the_default(
    options: list[str], shown: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.main(["fit", *TINY, *QUIET[:1], *options])
    assert ("Run: 100% 8/8" in capsys.readouterr().err) == shown


@pytest.mark.parametrize(("logger", "name"), [("wandb", None), ("tensorboard", "lightning_logs")])
@pytest.mark.parametrize(
    "inherited", [{}, {"name": "theirs", "prefix": "p", "flush_logs_every_n_steps": 7}]
)
def test_a_logger_fragment_takes_no_name_from_the_logger_it_replaces(
    logger: str,
    name: str | None,
    inherited: dict[str, object],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    spec = {"class_path": "lightning.pytorch.loggers.CSVLogger", "init_args": inherited}
    (tmp_path / "more.yaml").write_text(yaml.safe_dump({"trainer": {"logger": spec}}))
    configs = ["recipes/adv_digits.yaml", "more.yaml", f"configs/logger/{logger}.yaml"]
    with pytest.raises(SystemExit) as stopped:
        cli.main(["fit", *(f"--config={c}" for c in configs), "--print_config"])
    assert stopped.value.code == 0
    result = yaml.safe_load(capsys.readouterr().out)["trainer"]["logger"]
    given = result["init_args"]
    assert result["class_path"].lower().endswith(f"{logger}logger")
    assert (given["name"], given["version"], given["prefix"]) == (name, None, "")
    assert "flush_logs_every_n_steps" not in given


INITIAL = "lightning: no --ckpt_path: these are the initial weights\n"


@pytest.mark.filterwarnings("ignore:The dirpath has changed:UserWarning")
def test_measuring_initial_weights_is_said_and_measuring_a_checkpoint_is_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.main(["test", *TINY[:1], *QUIET])
    assert capsys.readouterr().err.count(INITIAL) == 1
    cli.main(["fit", *TINY, *QUIET])
    checkpoint = next(tmp_path.rglob("*.ckpt"))
    cli.main(["test", *TINY[:1], *QUIET, f"--ckpt_path={checkpoint}"])
    assert INITIAL not in capsys.readouterr().err


NEEDED = {
    "attack": ["--attack=GradientAttack", "--attack.eps=0.1"],
    "evaluate": ["--sizes={l2: [0.1]}"],
}
"""Options without which a subcommand is refused before it says anything."""


@pytest.mark.parametrize("subcommand", sorted({*TRAINER_SUBCOMMANDS} - {"fit"}))
def test_every_measurement_warns_of_initial_weights(
    subcommand: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with contextlib.suppress(SystemExit):  # the model has no such step, or no such data
        cli.main([subcommand, *TINY[:1], *QUIET, *NEEDED.get(subcommand, [])])
    assert INITIAL in capsys.readouterr().err


class Interrupt(Callback):
    """Presses Ctrl-C.

    Args:
        epoch: when.
        testing: in the test, not in the training.
    """

    def __init__(self, epoch: int, testing: bool = False) -> None:
        self.epoch = epoch
        self.testing = testing

    def on_train_batch_start(self, trainer: Trainer, *_: object) -> None:
        if trainer.current_epoch == self.epoch and not self.testing:
            raise KeyboardInterrupt

    def on_test_start(self, trainer: Trainer, *_: object) -> None:
        if self.testing:
            raise KeyboardInterrupt


def interrupted(options: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Runs a fit that is stopped; returns the last line of standard error."""
    before = signal.getsignal(signal.SIGINT)
    callback = "--trainer.callbacks=tests.cli.test_fit.Interrupt"
    try:
        with pytest.raises(SystemExit) as stopped:
            cli.main(["fit", *TINY, *QUIET, callback, *options])
    finally:
        signal.signal(signal.SIGINT, before)  # Lightning ignores further ones
    assert stopped.value.code == 130
    return capsys.readouterr().err.splitlines()[-1]


@pytest.mark.filterwarnings("ignore:The dirpath has changed:UserWarning")
def test_after_ctrl_c_the_line_names_the_checkpoint_to_go_on_from(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = interrupted(["--trainer.callbacks.epoch=1"], capsys)
    (checkpoint,) = tmp_path.rglob("*.ckpt")
    start = "lightning: interrupted. To go on, repeat the command with "
    assert line == f"{start}--ckpt_path {shlex.quote(str(checkpoint.relative_to(tmp_path)))}"
    cli.main(["fit", *TINY, *QUIET, *shlex.split(line.removeprefix(start))])
    assert len(lines_of(capsys)) == 1


def test_after_ctrl_c_without_a_checkpoint_that_is_said(
    capsys: pytest.CaptureFixture[str],
) -> None:
    line = interrupted(["--trainer.callbacks.epoch=0"], capsys)
    assert line.startswith("lightning: interrupted. No checkpoint was saved")


def test_after_ctrl_c_weights_alone_are_not_offered_to_go_on_from(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = {"class_path": "ModelCheckpoint", "init_args": {"save_weights_only": True}}
    stop = {"class_path": "tests.cli.test_fit.Interrupt", "init_args": {"epoch": 1}}
    callbacks = yaml.safe_dump([weights, stop], default_flow_style=True).strip()
    line = interrupted([f"--trainer.callbacks={callbacks}"], capsys)
    assert len(list(tmp_path.rglob("*.ckpt"))) == 1
    assert line.startswith("lightning: interrupted. No checkpoint was saved to go on from")


def test_ctrl_c_in_the_closing_test_does_not_offer_more_training(
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = ["--trainer.callbacks.epoch=0", "--trainer.callbacks.testing=true"]
    assert interrupted(options, capsys) == "lightning: interrupted."
