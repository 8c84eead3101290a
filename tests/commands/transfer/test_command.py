"""`lightning transfer` through the real command line: trained, kept, on one process and on two."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from lit_intriguing import cli
from lit_intriguing.commands.transfer.command import parse
from lit_intriguing.configuration import shipped

ROOT = Path(__file__).parents[3]
RECIPES = ["figure7", "table2", "table2_digits", "table4"]


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def recipe(folder: Path, **changes) -> Path:
    """The digits' recipe, shortened: two networks, trained for an epoch."""
    content = yaml.safe_load((shipped.root() / "recipes/table2_digits.yaml").read_text())
    content["attack"] = {"class_path": "GradientAttack", "init_args": {"eps": 2.0, "steps": 5}}
    content |= {"limit": 96, "chunk": 32} | changes
    del content["models"]["FC200-200-10"]
    for model in content["models"].values():
        model["overrides"]["trainer"]["max_epochs"] = 2
    file = folder / "short.yaml"
    file.write_text(yaml.safe_dump(content, sort_keys=False))
    return file


def process(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "lit_intriguing", "transfer", *arguments],
        capture_output=True, text=True, timeout=200, check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def judged(folder: Path) -> list[dict[str, torch.Tensor]]:
    return [
        torch.load(file, weights_only=True)["columns"]
        for file in sorted(folder.glob("judged/*/chunks/*.pt"), key=lambda f: (f.parts[-3], f.name))
    ]


@pytest.mark.integration
def test_the_digits_recipe_trains_once_and_gives_the_same_bits_on_two_processes(tmp_path, capsys):
    file = recipe(tmp_path)
    cli.main(["transfer", f"--config={file}", "--out_dir=one", "--models_dir=models"])
    out, err = capsys.readouterr()
    assert "training 'FC10', 'FC100-100-10'" in err
    assert "for FC10, amplified to 0.2" in out
    assert len(list((tmp_path / "models").glob("*.ckpt"))) == 2
    two = "--trainer={accelerator: cpu, devices: 2, strategy: ddp}"
    done = process(f"--config={file}", "--out_dir=two", "--models_dir=models", two)
    assert done.returncode == 0, done.stderr
    assert "training" not in done.stderr.replace("clean, training rows", "")
    assert "Starting with 2 processes" in done.stderr
    assert done.stdout.count("for FC10 ") == 1
    one, other = judged(tmp_path / "one"), judged(tmp_path / "two")
    assert len(one) == len(other) == 3 + 45 + 12
    for mine, theirs in zip(one, other, strict=True):
        assert all(torch.equal(mine[name], theirs[name]) for name in mine)
    csvs = [(tmp_path / name / "transfer.csv").read_text() for name in ("one", "two")]
    assert csvs[0] == csvs[1]


@pytest.mark.slow
@pytest.mark.integration
def test_processes_that_are_forked_leave_the_same_table(tmp_path, capsys):
    # As in notebooks: the process that starts them does no work of its own.
    file = recipe(tmp_path)
    cli.main(["transfer", f"--config={file}", "--out_dir=one", "--models_dir=models"])
    printed = capsys.readouterr().out
    two = "--trainer={accelerator: cpu, devices: 2, strategy: ddp_fork}"
    done = process(f"--config={file}", "--out_dir=two", "--models_dir=models", two)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[:-1] == printed.splitlines()[:-1]  # the last names the folder
    csvs = [(tmp_path / name / "transfer.csv").read_text() for name in ("one", "two")]
    assert csvs[0] == csvs[1]


def test_a_failed_training_loses_no_other_model(tmp_path, capsys):
    file = recipe(tmp_path, amplify=[], clean={})
    content = yaml.safe_load(file.read_text())
    content["models"]["FC10"]["overrides"]["model"]["init_args"]["widths"] = [63, 10]
    file.write_text(yaml.safe_dump(content, sort_keys=False))
    with pytest.raises(SystemExit) as stopped:
        cli.main(["transfer", f"--config={file}", "--out_dir=out"])
    out, err = capsys.readouterr()
    assert stopped.value.code == 1
    assert "lightning: 'FC10' failed, and cells of the table are marked" in err
    assert "its training failed: UserError: the inputs have 64 features" in out
    assert [line.split()[-2:] for line in out.splitlines() if line.startswith("for FC100")] == [
        ["failed", "100.0"]
    ]


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_is_a_study_whose_papers_numbers_fit_its_lines(name):
    study = parse(["--config", f"recipes/{name}.yaml"])
    study.check()
    assert all(source.config()["model"] for source in study.models.values())
    page = (shipped.root() / f"recipes/{name}.md").read_text()
    assert f"lightning transfer --config recipes/{name}.yaml" in page


def complaint(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(["transfer", *arguments])
    assert caught.value.code == 2
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--nose=[0.1]", "no option 'nose'. Did you mean 'noise'?"),
        ("--attack=BoxLBFG", "no class 'BoxLBFG'. Did you mean 'BoxLBFGS'?"),
        ("--models={a: {recip: x}}", "Option 'recip' is not accepted"),
        ("--limit=ten", "limit: expected int or null, got 'ten'"),
        ("--data=Digit", "no class 'Digit'. Did you mean 'Digits'?"),
        ("--split=foo", "split: expected train or validation or test, got 'foo'."),
        ("--out_dir=taken", "out_dir taken: taken is a file: name a folder."),
        ("--out_dir=taken/below", "out_dir taken/below: taken is a file: name a folder."),
    ],
)
def test_a_typo_is_named_in_one_line(option, message, tmp_path, capsys):
    (tmp_path / "taken").write_text("")
    assert message in complaint([f"--config={recipe(tmp_path)}", option], capsys)


def test_a_typo_in_a_model_of_a_file_is_named_with_the_right_spelling(tmp_path, capsys):
    (tmp_path / "more.yaml").write_text("models: {a: {recip: x}}\n")
    said = complaint([f"--config={recipe(tmp_path)}", "--config=more.yaml"], capsys)
    assert "models.a: ModelSource has no parameter 'recip'. Did you mean 'recipe'?" in said


def test_a_value_that_the_data_refuse_is_told(tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(["transfer", f"--config={recipe(tmp_path)}", "--data.test=2"])
    assert stopped.value.code == 1
    assert "lightning: test needs at least 10 examples" in capsys.readouterr().err


def test_help_lists_the_options(capsys):
    cli.main(["transfer", "--help"])
    assert "--models" in capsys.readouterr().out
