"""What the operating system refuses, and Ctrl-C, give one line."""

import errno
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from lit_intriguing import cli

FULL = RuntimeError(
    "[enforce fail at inline_container.cc:672] . PytorchStreamWriter failed writing file data/1"
)


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "a/b"), 1, "the disk is full: make room"),
        (OSError(errno.EROFS, "Read-only file system", "a/b"), 1, "(a/b): that is read-only"),
        (PermissionError(errno.EACCES, "Permission denied", "a/b"), 1, "name another place"),
        (FULL, 1, "is the disk full? Make room"),
        (RuntimeError("basic_ios::clear: iostream error"), 1, "is the disk full? Make room"),
        (KeyboardInterrupt(), 130, "interrupted."),
    ],
    ids=["full", "read-only", "not allowed", "full, by torch", "full, as torch says it", "Ctrl-C"],
)
def test_an_error_in_the_midst_of_a_command_is_one_line(
    error: BaseException, status: int, line: str,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    def fail(arguments: list[str]) -> None:
        raise error

    monkeypatch.setattr(cli, "_dispatch", fail)
    with pytest.raises(SystemExit) as stopped:
        cli.main(["attack"])
    assert stopped.value.code == status
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert line in said
    monkeypatch.setenv("LIT_INTRIGUING_TRACEBACK", "1")
    with pytest.raises(type(error)):
        cli.main(["attack"])


def test_errors_of_the_program_keep_their_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(arguments: list[str]) -> None:
        raise RuntimeError("shapes cannot be multiplied")

    monkeypatch.setattr(cli, "_dispatch", fail)
    with pytest.raises(RuntimeError, match="multiplied"):
        cli.main(["attack"])


def test_a_name_that_is_too_long(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main(["fit", "--config", "z" * 300])
    assert stopped.value.code == 1
    said = capsys.readouterr().err
    assert "File name too long (zzz" in said
    assert len(said) < 250


@pytest.mark.parametrize("kind", ["folder", "folder with one", "cut shards", "device"])
def test_a_checkpoint_that_is_no_file(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "inside").mkdir()
    if kind == "folder with one":
        (tmp_path / "inside" / "last.ckpt").touch()
    if kind == "cut shards":
        (tmp_path / "__0_0.distcp").touch()
    given = os.devnull if kind == "device" else str(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        cli.main(["test", "--model=Classifier", f"--ckpt_path={given}"])
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    words = {
        "folder": "is a folder, and no checkpoint.\n",
        "cut shards": "saving was cut off. Take another copy of it, or an earlier checkpoint.\n",
        "folder with one": f"Give a file in it, such as {tmp_path}/inside/last.ckpt.\n",
        "device": "is no file that could be a checkpoint.\n",
    }
    assert said.endswith(words[kind])


@pytest.mark.integration
def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    command = (
        f"{shlex.quote(sys.executable)} -m lit_intriguing fit --model=tests.tiny.Tiny "
        "--trainer.max_epochs=1 --trainer.accelerator=cpu --trainer.logger=false | head -0"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        ["bash", "-c", f"{command}; exit ${{PIPESTATUS[0]}}"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 141
    assert "Traceback" not in done.stderr
    assert list(tmp_path.rglob("*.ckpt"))


@pytest.mark.integration
@pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists:UserWarning")
def test_a_checkpoint_of_another_optimizer_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    options = [
        "fit", "--model=Classifier", "--model.widths=[64,10,10]", "--data=Digits",
        "--trainer.accelerator=cpu", "--trainer.logger=false", "--test_after_fit=false",
    ]  # fmt: skip
    adam = ["--model.optimizer=torch.optim.Adam", "--model.optimizer.lr=0.01"]
    cli.main([*options, *adam, "--trainer.max_epochs=1"])
    (path,) = tmp_path.rglob("*.ckpt")
    sgd = ["--model.optimizer=torch.optim.SGD", "--model.optimizer.lr=0.01"]
    with pytest.raises(SystemExit) as stopped:
        cli.main([*options, *sgd, "--trainer.max_epochs=2", f"--ckpt_path={path}"])
    assert stopped.value.code == 1
    assert "is of a run with another optimizer" in capsys.readouterr().err
    cli.main([*options, *adam, "--trainer.max_epochs=2", f"--ckpt_path={path}"])
