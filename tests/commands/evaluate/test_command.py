"""`lightning evaluate` through the real command line."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lit_intriguing import cli
from lit_intriguing.attacks import GradientAttack
from lit_intriguing.data import Digits
from lit_intriguing.models import Classifier
from lit_intriguing.robustness import evaluate_tensors
from lit_intriguing.robustness.certified import certificate_of
from tests.commands.attack.digits import QUIET, ROOT, checkpoint
from tests.commands.attack.test_command import refused

SIZES = {"l2": [0.3, 0.6], "linf": [0.05]}
PGD = (
    '{"pgd": {"class_path": "GradientAttack", "init_args": '
    '{"eps": 1.0, "norm": "inf", "steps": 3, "random_start": true}}}'
)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint(tmp_path_factory.mktemp("digits"))


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def words(weights: Path | None, *options: str) -> list[str]:
    return [
        "evaluate", "--model=Classifier", "--model.widths=[64, 16, 10]", "--data=Digits",
        "--sizes={l2: [0.3, 0.6], linf: [0.05]}", "--limit=90", "--chunk=40",
        *(f"--trainer.{name}={str(value).lower()}" for name, value in QUIET.items()),
        *([] if weights is None else [f"--ckpt_path={weights}"]),
        *options,
    ]  # fmt: skip


def columns(folder: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = torch.load(folder / "evaluation.pt", weights_only=True)
    return found


def same(first: Path, second: Path) -> bool:
    one, other = columns(first), columns(second)
    return one.keys() == other.keys() and all(
        torch.equal(one[name].nan_to_num(-1.0), other[name].nan_to_num(-1.0)) for name in one
    )


def test_results_tables_and_a_figure_are_written_and_the_errors_printed(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.main(words(weights))
    out = capsys.readouterr().out
    folder = tmp_path / "evaluate"
    names = ["attacks.csv", "classes.csv", "evaluation.pt", "manifest.json", "robustness.png"]
    names += ["sanity.csv", "sizes.csv"]
    assert sorted(path.name for path in folder.iterdir()) == names
    assert "warning" not in out
    assert out.startswith("90 images, error ")
    assert "not certified, %" in out
    with (folder / "sizes.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["norm"], float(row["size"])) for row in rows] == [
        ("l2", 0.3), ("l2", 0.6), ("linf", 0.05),
    ]  # fmt: skip
    first, second, _ = (float(row["error, %"]) for row in rows)
    assert 0 < first < second <= 100
    assert all(float(row["not certified, %"]) >= float(row["error, %"]) for row in rows)
    written = (folder / "evaluation.pt").stat().st_mtime_ns
    cli.main(words(weights))  # done already
    assert capsys.readouterr().out == out
    assert (folder / "evaluation.pt").stat().st_mtime_ns == written


def test_the_command_gives_what_the_function_gives(weights: Path, tmp_path: Path) -> None:
    cli.main(words(weights, f"--attacks={PGD}", "--sizes={linf: [0.05]}", "--seed=3"))
    data = Digits()
    data.setup("test")
    loader = data.test_dataloader()
    model = Classifier(widths=(64, 16, 10))
    model.load_state_dict(torch.load(weights, weights_only=True)["state_dict"])
    shape = tuple(loader.inputs.shape[1:])
    expected = evaluate_tensors(
        model, loader.inputs[:90], loader.labels[:90],
        attacks={"pgd": GradientAttack(1.0, "inf", steps=3, random_start=True)},
        sizes={"linf": [0.05]}, seed=3, chunk=40,
        certificate=certificate_of(model, shape, every=False, sharpest=True),
    ).columns()  # fmt: skip
    found = columns(tmp_path / "evaluate")
    assert found.keys() == expected.keys()
    for name, column in expected.items():
        assert torch.equal(found[name].nan_to_num(-1.0), column.nan_to_num(-1.0)), name


@pytest.mark.integration
def test_an_interrupted_evaluation_goes_on_and_ends_with_the_same_bits(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.main(words(weights, "--output=whole"))
    capsys.readouterr()
    stopped = ["--output=parts", "--trainer.limit_predict_batches=2"]
    assert "2 of 3 chunks are done" in refused(words(weights, *stopped), capsys)
    made = (tmp_path / "parts" / "chunks" / "000000.pt").stat().st_mtime_ns
    assert made
    cli.main(words(weights, "--output=parts"))
    assert same(tmp_path / "whole", tmp_path / "parts")
    both = [(tmp_path / folder / "sanity.csv").read_bytes() for folder in ("whole", "parts")]
    assert both[0] == both[1]


def test_hidden_gradients_are_warned_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    quiet = (f"--trainer.{name}={str(value).lower()}" for name, value in QUIET.items())
    cli.main([
        "evaluate", "--model=Network", "--model.network=tests.sanity.networks.Rounded",
        "--data=Digits", "--sizes={linf: [0.1]}", "--attacks=" + PGD, "--limit=60",
        "--certify=false", *quiet,
    ])  # fmt: skip
    out = capsys.readouterr().out
    assert "warning: zero gradients 1.00: share of examples without a gradient." in out
    assert "The errors may be too low: sanity.csv." in out
    with (tmp_path / "evaluate" / "sanity.csv").open() as file:
        warned = {row["check"] for row in csv.DictReader(file) if row["warns"] == "True"}
    assert {"zero_gradients", "unconstrained_failure"} <= warned


def test_an_error_of_zero_is_printed_where_nothing_is_certified(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.main(words(weights, "--sizes={linf: [0.0001, 0.5]}", "--limit=2", "--certify=false"))
    _, names, zero, large, *_ = capsys.readouterr().out.splitlines()
    assert "not certified" not in names
    assert zero.split()[:2] == ["linf", "0.0001"]
    assert set(zero.split()[2:]) == {"0.00"}
    assert len(large.split()) == len(zero.split()) + 1  # the number of the worst class
    with (tmp_path / "evaluate" / "sizes.csv").open() as file:
        assert next(csv.DictReader(file))["worst class"] == ""


def test_no_checks_are_made_where_none_are_wanted(weights: Path, tmp_path: Path) -> None:
    cli.main(words(weights, "--limit=20", "--sanity=0"))
    assert not (tmp_path / "evaluate" / "sanity.csv").exists()


@pytest.mark.integration
def test_two_processes_give_the_same_bits_as_one(weights: Path, tmp_path: Path) -> None:
    env = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    two = ["--trainer.strategy=ddp", "--trainer.devices=2"]
    for output, more in (("one", []), ("two", two)):
        command = words(weights, f"--output={output}", "--threads=1", *more)
        subprocess.run(
            [sys.executable, "-m", "lit_intriguing", *command],
            env=env, check=True, capture_output=True, timeout=200,
        )  # fmt: skip
    assert same(tmp_path / "one", tmp_path / "two")


def test_other_settings_in_the_same_folder_are_refused(
    weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = ["--limit=20", "--certify=false"]
    cli.main(words(weights, *few))
    capsys.readouterr()
    line = refused(words(weights, *few, "--sizes={l2: [0.3, 0.7]}"), capsys)
    assert "holds results of other settings" in line


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--sizes={l2: [0.6, 0.3]}"], "sizes must increase, and those of l2 are 0.6, 0.3"),
        (["--sizes={linff: [0.6]}"], "no norm 'linff'. Did you mean 'linf'?"),
        ([f"--attacks={PGD}", "--sizes={l2: [0.5]}"], "searches in a ball of linf"),
        (["--limit=0"], "limit must be at least 1"),
        (
            ['--attacks={"aa": {"class_path": "AutoAttack", "init_args": {"eps": 0.1}}}'],
            "autoattack",
        ),
    ],
)
def test_what_cannot_be_meant_is_said_in_one_line(
    options: list[str], message: str, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if "AutoAttack" in options[0]:
        for package in ("autoattack", "pyautoattack"):
            if __import__("importlib.util").util.find_spec(package):
                pytest.skip(f"{package} is installed")
    with pytest.raises(SystemExit) as stopped:
        cli.main(words(weights, *options))
    assert stopped.value.code != 0
    assert message in capsys.readouterr().err


def test_certifying_what_has_no_bound_is_refused_when_asked_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    network = ["--model=Network", f"--model.network={__name__}.Strange"]
    command = [one for one in words(None) if not one.startswith("--model")]
    line = refused([*command, *network, "--certify=true", "--limit=20"], capsys)
    assert "the network has no finite bound" in line
    cli.main([*command, *network, "--limit=20"])
    assert "not certified" not in capsys.readouterr().out


class Strange(torch.nn.Module):
    """Ten logits that no rule bounds."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(1)[:, 20:30].exp()
