"""The front door: what is answered without torch, and how errors are shown."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import lit_intriguing
from lit_intriguing import cli
from lit_intriguing.cli import delegate
from lit_intriguing.cli.subcommands import SUBCOMMANDS
from lit_intriguing.errors import UserError

SCRIPTS = Path(sys.executable).parent
COMMANDS = [
    [str(SCRIPTS / "lightning")],
    [str(SCRIPTS / "lit-intriguing")],
    [sys.executable, "-m", "lit_intriguing"],
]


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Runs a command that must end with status 2 and one line; returns the line."""
    with pytest.raises(SystemExit) as stopped:
        cli.main(arguments)
    out, err = capsys.readouterr()
    assert stopped.value.code == 2
    assert out == ""
    assert err.count("\n") == 1
    return err


@pytest.mark.parametrize("command", COMMANDS, ids=["lightning", "lit-intriguing", "module"])
def test_each_name_of_the_command_is_the_same_program(command: list[str]) -> None:
    done = subprocess.run([*command, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"lit-intriguing {lit_intriguing.__version__}\n"
    assert done.stderr == ""


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help_names_each_subcommand_and_imports_no_torch(option: str) -> None:
    code = (
        "import sys; from lit_intriguing import cli; cli.main(sys.argv[1:]); "
        "assert not {'torch', 'lightning', 'jsonargparse'} & set(sys.modules)"
    )
    command = [sys.executable, "-c", code, option]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    for name, text in SUBCOMMANDS.items():
        assert f"  {name} " in done.stdout
        assert text in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["fti"],
        ["fit", "--config", "nowhere.yaml"],
        ["fit"],
        *([name, "--help"] for name in SUBCOMMANDS),
        [],
    ],
    ids=" ".join,
)
def test_quick_answers_do_not_import_torch(arguments: list[str]) -> None:
    code = (
        "import sys, json\n"
        "from lit_intriguing.cli import main\n"
        "try: main(json.loads(sys.argv[1]))\n"
        "except SystemExit: pass\n"
        "assert not {'torch', 'lightning', 'jsonargparse'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code, json.dumps(arguments)], check=True)


def test_an_unknown_subcommand_is_named_with_the_nearest(
    capsys: pytest.CaptureFixture[str],
) -> None:
    expected = "lightning: no subcommand 'fti'. Did you mean 'fit'?\n"
    assert refused(["fti"], capsys) == expected


def test_without_a_subcommand_all_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert "predict, attack, evaluate, lipschitz, units, ablate, transfer, probe" in refused(
        [], capsys
    )


def test_an_unknown_global_option_is_named_with_the_nearest(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert "'--verson'" in (line := refused(["--verson"], capsys))
    assert "Did you mean '--version'?" in line


def test_a_missing_file_is_named_with_the_nearest_on_disk(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.yaml").touch()
    line = refused(["fit", f"--config={tmp_path}/mien.yaml"], capsys)
    assert f"no file '{tmp_path}/mien.yaml'" in line
    assert f"Did you mean '{tmp_path}/mine.yaml'?" in line


def test_a_missing_file_is_named_with_the_nearest_shipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    line = refused(["fit", "-c", "configs/logger/wanbd.yaml"], capsys)
    assert "Did you mean 'configs/logger/wandb.yaml'?" in line


def test_a_missing_checkpoint_is_named_with_the_nearest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "last.ckpt").touch()
    line = refused(["test", "--ckpt_path", f"{tmp_path}/lsat.ckpt"], capsys)
    assert f"Did you mean '{tmp_path}/last.ckpt'?" in line


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("trainer:\n  max_epochs: [1\nmodel: x\n", "line 3: not valid YAML"),
        ("- a\n- b\n", "expected keys and values, found a list"),
        ("\0", "not a YAML text file"),
    ],
)
def test_a_file_that_is_no_configuration_is_refused(
    text: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "broken.yaml"
    file.write_text(text)
    line = refused(["fit", "--config", str(file)], capsys)
    assert str(file) in line
    assert message in line


class Script:
    """Stands for another distribution's console script."""

    def __init__(self, owner: str) -> None:
        self.dist = type("Distribution", (), {"name": owner})()

    def load(self):
        return lambda: print("other", sys.argv[1:]) or 7


def test_unknown_subcommands_go_to_another_distribution(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    scripts = [Script("lit_intriguing"), Script("lightning-sdk")]
    monkeypatch.setattr(delegate, "entry_points", lambda **_: scripts)
    monkeypatch.setattr(sys, "argv", ["lightning"])
    with pytest.raises(SystemExit) as stopped:
        cli.main(["login", "--now"])
    assert stopped.value.code == 7
    assert capsys.readouterr().out == "other ['login', '--now']\n"


def test_our_own_script_is_not_taken_for_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delegate, "entry_points", lambda **_: [Script("Lit_Intriguing")])
    assert delegate.other_command() is None


def test_an_error_for_the_user_is_its_message_and_status_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(arguments: list[str]) -> None:
        raise UserError("no images there.")

    monkeypatch.setattr(cli, "_dispatch", fail)
    with pytest.raises(SystemExit) as stopped:
        cli.main(["fit"])
    assert stopped.value.code == 1
    assert capsys.readouterr().err == "lightning: no images there.\n"
    monkeypatch.setenv("LIT_INTRIGUING_TRACEBACK", "1")
    with pytest.raises(UserError, match="no images there"):
        cli.main(["fit"])


def test_a_reader_that_closes_early_is_no_error() -> None:
    command = [sys.executable, "-m", "lit_intriguing", "fit", "--help"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0
