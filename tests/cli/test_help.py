"""What `--help` shows: recipes with a line each; a screen a subcommand, with options that exist."""

import inspect
import shlex
from pathlib import Path

import pytest

from lit_intriguing import cli
from lit_intriguing.cli.help import texts
from lit_intriguing.cli.help.documented import of_command
from lit_intriguing.cli.help.recipes import recipes
from lit_intriguing.cli.subcommands import STUDIES, SUBCOMMANDS, TRAINER_SUBCOMMANDS
from lit_intriguing.commands.ablate.options import Ablation
from lit_intriguing.commands.probe.options import Probing
from lit_intriguing.commands.report.options import Report
from lit_intriguing.commands.reproduce.options import Reproduction
from lit_intriguing.commands.transfer.options import TransferMatrix
from lit_intriguing.configuration import shipped
from lit_intriguing.trainer import Trainer

SCREEN = 50
CLASSES = {
    "ablate": Ablation,
    "transfer": TransferMatrix,
    "probe": Probing,
    "report": Report,
    "reproduce": Reproduction,
}


def shown(name: str, capsys: pytest.CaptureFixture[str]) -> str:
    cli.main([name, "--help"])
    return capsys.readouterr().out


def test_each_recipe_has_a_line_and_a_subcommand_that_there_is() -> None:
    listed = {name for found in recipes().values() for name, _ in found}
    assert listed == {
        name.removeprefix("recipes/").removesuffix(".yaml")
        for name in shipped.names()
        if name.startswith("recipes/")
    }
    assert set(recipes()) <= set(SUBCOMMANDS)
    for found in recipes().values():
        for name, line in found:
            assert line.endswith("."), name
            assert f"    {name:<27} {line}\n" in texts.overview() + "\n", f"{name}: too long"


@pytest.mark.parametrize("name", SUBCOMMANDS)
def test_help_fits_a_screen_and_ends_with_an_example(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = shown(name, capsys).splitlines()
    assert len(lines) <= SCREEN
    assert max(map(len, lines)) <= texts.WIDTH
    assert lines[-4] == "example:"
    assert lines[-3] == f"  {texts.EXAMPLES[name]}"
    assert f"lightning {name} --help.all" in lines[-1]


@pytest.mark.parametrize("name", ["attack", "evaluate", "lipschitz", "units", *CLASSES])
def test_help_has_each_option_of_ours_with_what_the_source_says(name: str) -> None:
    target = CLASSES.get(name) or getattr(Trainer, name)
    parameters = set(inspect.signature(target).parameters) - {"self", "model", "datamodule"}
    documented = of_command(name)
    assert documented is not None
    assert {one.name for one in documented.options} == parameters
    assert documented.summary == (inspect.getdoc(target) or "").splitlines()[0]
    help_text = texts.of_subcommand(name)
    for one in documented.options:
        assert f"  --{one.name} " in help_text
        assert one.text[:20] in help_text


def test_what_belongs_to_fit_alone_is_not_offered_elsewhere(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert "--test_after_fit" in shown("fit", capsys)
    for name in SUBCOMMANDS:
        if name != "fit":
            assert "--test_after_fit" not in shown(name, capsys)
            assert "--optimizer" not in shown(name, capsys)


@pytest.mark.parametrize("name", sorted(set(SUBCOMMANDS) - {"validate", "predict"}))
def test_the_examples_are_understood(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    _, *words = shlex.split(texts.EXAMPLES[name])
    with pytest.raises(SystemExit) as stopped:
        cli.main([*words, "--print_config"])
    out, err = capsys.readouterr()
    assert stopped.value.code == 0, err
    assert "trainer:" in out or name in STUDIES


@pytest.mark.parametrize("name", ["attack", "transfer"])
def test_all_options_are_a_further_word_away(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main([name, "--help.all"])
    out = capsys.readouterr().out
    assert stopped.value.code == 0
    assert "--limit" in out
    if name in TRAINER_SUBCOMMANDS:
        assert "--trainer.max_epochs" in out
        assert "--paper " not in out
        assert "--optimizer" not in out
