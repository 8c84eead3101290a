"""`lightning probe` through the real command line: trained, kept, the same on two processes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from lit_intriguing import cli
from lit_intriguing.commands.probe.command import parse
from lit_intriguing.configuration import shipped

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def recipe(folder: Path) -> Path:
    """The digits' recipe, its networks trained for two epochs."""
    content = yaml.safe_load((shipped.root() / "recipes/probe_digits.yaml").read_text())
    content["attack"] = {"class_path": "GradientAttack", "init_args": {"eps": 2.0, "steps": 5}}
    content |= {"limit": 96, "chunk": 32, "draws": 2}
    for model in content["models"].values():
        model["overrides"] = {"trainer": {"max_epochs": 2}}
    file = folder / "short.yaml"
    file.write_text(yaml.safe_dump(content, sort_keys=False))
    return file


@pytest.mark.slow
@pytest.mark.integration
def test_the_digits_recipe_trains_once_and_gives_the_same_bits_on_two_processes(tmp_path, capsys):
    file = recipe(tmp_path)
    cli.main(["probe", f"--config={file}", "--out_dir=one", "--models_dir=models"])
    out, err = capsys.readouterr()
    assert "training 'weight decay alone', 'adversarial training'" in err
    assert out.count("adversarial training ") >= 5
    two = "--trainer={accelerator: cpu, devices: 2, strategy: ddp}"
    again = [f"--config={file}", "--out_dir=two", "--models_dir=models", two]
    done = subprocess.run(
        [sys.executable, "-m", "lit_intriguing", "probe", *again],
        capture_output=True, text=True, timeout=300, check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Starting with 2 processes" in done.stderr
    assert "training '" not in done.stderr
    for name in ("along.csv", "around.csv"):
        texts = [(tmp_path / folder / name).read_text() for folder in ("one", "two")]
        assert texts[0] == texts[1]


@pytest.mark.parametrize("name", ["probe_digits", "probe_mnist"])
def test_every_recipe_is_a_study(name):
    study = parse(["--config", f"recipes/{name}.yaml"])
    study.check()
    assert all(source.config()["model"] for source in study.models.values())


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--nose=[0.1]", "no option 'nose'. Did you mean 'noise'?"),
        ("--draws=ten", "draws: expected int, got 'ten'"),
        ("--attack=BoxLBFG", "no class 'BoxLBFG'. Did you mean 'BoxLBFGS'?"),
        ("--factors=[1, 0]", "factors must grow"),
        ("--split=foo", "split: expected train or validation or test, got 'foo'."),
        ("--out_dir=taken", "out_dir taken: taken is a file: name a folder."),
        ("--out_dir=taken/below", "out_dir taken/below: taken is a file: name a folder."),
    ],
)
def test_a_mistake_is_named_in_one_line(option, message, tmp_path, capsys):
    (tmp_path / "taken").write_text("")
    with pytest.raises(SystemExit) as caught:
        cli.main(["probe", f"--config={recipe(tmp_path)}", option])
    assert caught.value.code == 2
    assert message in capsys.readouterr().err
