"""`lightning units` through the real command line."""

import csv
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lit_intriguing import cli
from lit_intriguing.commands.units import run
from lit_intriguing.data import Digits
from lit_intriguing.models import Classifier
from lit_intriguing.units import UnitReport, analyse_units
from lit_intriguing.whole_files import read_checked_json, write_checked_json
from tests.commands.attack.digits import QUIET, ROOT, checkpoint

OTHERS = "tests.commands.units.others"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint(tmp_path_factory.mktemp("digits"))


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def words(weights: Path, *options: str) -> list[str]:
    return [
        "units",
        "--model=Classifier",
        "--model.widths=[64, 16, 10]",
        "--data=Digits",
        '--layers=["hidden1", "output"]',
        "--chunk=64",
        *(f"--trainer.{name}={str(value).lower()}" for name, value in QUIET.items()),
        f"--ckpt_path={weights}",
        *options,
    ]


def units(weights: Path, *options: str) -> None:
    cli.main(words(weights, *options))


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as stopped:
        cli.main(arguments)
    assert stopped.value.code == 1
    return capsys.readouterr().err.splitlines()[-1]


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "units.csv").open() as file:
        return list(csv.DictReader(file))


def test_the_command_writes_what_the_function_finds(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    units(weights, "--data.eval_batch_size=37", "--seed=3")
    out = capsys.readouterr().out
    expected = of_digits(weights, ["hidden1", "output"], seed=3)
    rows = table(tmp_path / "units")
    assert len(rows) == 4
    for row, one in zip(rows, expected.analyses, strict=True):
        assert one.mean is not None
        assert (row["layer"], row["network"], row["verdict"]) == (
            one.layer, one.network, one.verdict,
        )  # fmt: skip
        assert float(row["effect"]) == one.effect.value
        assert float(row["p"]) == one.mean.p
    names = {path.name for path in (tmp_path / "units").iterdir()}
    grids = {"images_hidden1.png", "images_output.png"}
    assert names == {"units.csv", "effects.png", "manifest.json", *grids}
    assert "360 images; coherence by labels, top 8 images, reading Mean." in out
    # Once more: the same words, and nothing is done.
    written = (tmp_path / "units" / "units.csv").stat().st_mtime_ns
    units(weights, "--seed=3")
    assert capsys.readouterr().out == out
    assert (tmp_path / "units" / "units.csv").stat().st_mtime_ns == written


@pytest.mark.integration
def test_a_run_that_broke_goes_on_after_its_last_saved_chunk(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["--rotations=3", "--control=false"]
    units(weights, "--output=whole", *arguments)
    scan, scanned = run.UnitRun._scan, []

    def breaking(self, trainer, index, *rest):
        if index == 3 and 3 not in scanned:
            scanned.append(index)
            raise RuntimeError("power cut")
        scanned.append(index)
        scan(self, trainer, index, *rest)

    monkeypatch.setattr(run.UnitRun, "_scan", breaking)
    with pytest.raises(RuntimeError, match="power cut"):
        units(weights, "--output=broken", *arguments)
    units(weights, "--output=broken", *arguments)
    assert scanned == [0, 1, 2, 3, 3, 4, 5]
    whole, broken = (tmp_path / name for name in ("whole", "broken"))
    assert (whole / "units.csv").read_bytes() == (broken / "units.csv").read_bytes()
    assert not (broken / "chunks").exists()


def test_a_chunk_in_which_the_control_breaks_is_counted_once(weights: Path, tmp_path: Path) -> None:
    arguments = ["--rotations=3", f"--control={OTHERS}.Breaking"]
    with pytest.raises(RuntimeError, match="power cut"):
        units(weights, "--output=broken", *arguments, "--control.breaks_at=4")
    units(weights, "--output=broken", *arguments)
    units(weights, "--output=whole", *arguments)
    assert {row["images"] for row in table(tmp_path / "broken")} == {"360"}
    whole, broken = (tmp_path / name / "units.csv" for name in ("whole", "broken"))
    assert whole.read_bytes() == broken.read_bytes()


@pytest.mark.slow
@pytest.mark.integration
def test_two_processes_give_the_same_bits_as_one(weights: Path, tmp_path: Path) -> None:
    units(weights, "--output=one", "--threads=1", "--rotations=5", "--principal=true")
    two = words(
        weights, "--output=two", "--threads=1", "--rotations=5", "--principal=true",
        "--trainer.strategy=ddp",
        "--trainer.devices=2", "--data.eval_batch_size=50",
    )  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "lit_intriguing", *two],
        capture_output=True, text=True, timeout=300, check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Starting with 2 processes" in done.stderr
    one, both = (tmp_path / name / "units.csv" for name in ("one", "two"))
    assert one.read_bytes() == both.read_bytes()


def test_images_are_compared_by_features_of_another_network(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    units(weights, f"--features={OTHERS}.Pixels", "--rotations=3", "--limit=100")
    assert "100 images; coherence by features of Pixels" in capsys.readouterr().out
    rows = table(tmp_path / "units")
    assert {row["images"] for row in rows} == {"100"}
    assert -1 <= float(rows[0]["coherence"]) <= 1


def of_digits(weights: Path, layers: list[str], **options: Any) -> UnitReport:
    """What the function finds on the same digits."""
    data = Digits()
    data.setup("test")
    loader = data.test_dataloader()
    model = Classifier(widths=(64, 16, 10))
    model.load_state_dict(torch.load(weights, weights_only=True)["state_dict"])
    return analyse_units(model, (loader.inputs, loader.labels), layers, **options)


def assert_same(rows: list[dict[str, str]], expected: UnitReport) -> None:
    assert len(rows) == len(expected.analyses)
    for row, one in zip(rows, expected.analyses, strict=True):
        assert (row["layer"], row["network"], row["basis"]) == (one.layer, one.network, one.basis)
        assert float(row["effect"]) == one.effect.value


@pytest.mark.integration
def test_principal_components_are_compared_after_a_first_pass(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    units(weights, "--principal=true", "--rotations=3")
    assert_same(
        table(tmp_path / "units"),
        of_digits(weights, ["hidden1", "output"], principal=True, rotations=3),
    )
    names = {path.name for path in (tmp_path / "units").iterdir()}
    assert {"principal_components.pt", "images_hidden1_principal_components.png"} <= names
    assert not [name for name in names if name.startswith("covariance")]
    out = capsys.readouterr().out
    units(weights, "--principal=true", "--rotations=3")
    assert capsys.readouterr().out == out
    without = refused(words(weights, "--rotations=3"), capsys)
    assert "principal True -> False" in without


def test_principal_components_of_some_chunks_are_not_kept(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = words(weights, "--principal=true", "--rotations=3", "--control=false")
    line = refused([*arguments, "--trainer.limit_predict_batches=2"], capsys)
    way_out = "repeat the command without fast_dev_run or limit_predict_batches."
    assert line.endswith(f"2 of 6 chunks are done: {way_out}")
    assert not list((tmp_path / "units").glob("*.pt"))
    cli.main(arguments)
    layers = ["hidden1", "output"]
    expected = of_digits(weights, layers, principal=True, rotations=3, control=False)
    assert_same(table(tmp_path / "units"), expected)


@pytest.mark.parametrize("suffix", ["npz", "pt"])
def test_own_directions_come_from_a_file(suffix: str, weights: Path, tmp_path: Path) -> None:
    own = torch.randn(5, 16, generator=torch.Generator().manual_seed(0))
    if suffix == "npz":
        np.savez(tmp_path / "own.npz", **{"hidden1/concepts": own.numpy()})
    else:
        torch.save({"hidden1": {"concepts": own}}, tmp_path / "own.pt")
    units(weights, f"--directions=own.{suffix}", "--rotations=3", "--control=false")
    expected = of_digits(
        weights, ["hidden1", "output"], directions={"hidden1": {"concepts": own}}, rotations=3,
        control=False,
    )  # fmt: skip
    assert [one.basis for one in expected.analyses] == ["units", "concepts", "units"]
    assert_same(table(tmp_path / "units"), expected)


def test_another_network_is_the_control(weights: Path, tmp_path: Path) -> None:
    given = ["--control=Classifier", "--control.widths=[64, 16, 10]"]
    units(weights, *given, "--rotations=3")
    rows = table(tmp_path / "units")
    assert [row["network"] for row in rows] == ["trained", "control"] * 2
    assert rows[0]["effect"] != rows[1]["effect"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (['--layers=["hidden2"]'], "no layer 'hidden2'. Nearest names: hidden1"),
        (['--layers=["x*"]'], "No layer matches 'x*'"),
        (["--layers=[]"], "Name at least one layer"),
        (["--limit=5"], "limit 5 leaves fewer images than k, 8."),
        (["--k=400"], "top 400 images were asked for, and there are only 360"),
        (["--k=1"], "k must be at least 2"),
        (["--rows=0"], "rows must be at least 1"),
        ([f"--features={OTHERS}.Pixels", "--features.whole=false"], "Features must be a tensor"),
        ([f"--model={OTHERS}.Handing", '--layers=["pair"]'], "is a tuple"),
        (["--reading=Token"], "Cannot read layer 'hidden1'"),
        (["--directions=nowhere.pt"], "There is no file of directions nowhere.pt"),
        (
            ["--control=Classifier", "--control.widths=[64, 10]"],
            "The control must have the network's layers. Classifier has no layer 'hidden1'",
        ),
    ],
)
def test_what_cannot_work_is_said_in_one_line(
    options: list[str], message: str, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = words(weights, *options)
    if "Handing" in " ".join(options):
        belong = "--model.widths", "--ckpt_path"
        arguments = [word for word in arguments if not word.startswith(belong)]
    assert message in refused(arguments, capsys)


def test_other_settings_in_the_same_folder_are_refused(
    weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    units(weights, "--rotations=2", "--control=false", "--limit=64")
    arguments = words(weights, "--rotations=3", "--control=false", "--limit=64")
    assert "rotations 2 -> 3" in refused(arguments, capsys)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (f"--features={OTHERS}.Pixels", f"(compared_by labels -> {{'class': '{OTHERS}.Pixels', "),
        ("--rows=3", "(rows 4 -> 3)"),
    ],
)
def test_what_a_finished_comparison_was_not_made_for_is_refused(
    option: str, message: str, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = words(weights, "--rotations=2", "--control=false", "--limit=64")
    cli.main(arguments)
    out = capsys.readouterr().out
    line = refused([*arguments, option], capsys)
    assert f"units holds a finished comparison of other settings {message}" in line
    assert line.endswith("name another output, or delete the folder to begin again.")
    # A comparison that an earlier version finished does not say what it was made for.
    manifest = tmp_path / "units" / "manifest.json"
    content = read_checked_json(manifest, "")
    content["finished"]["summary"] = {"text": content["finished"]["summary"]["text"]}
    write_checked_json(manifest, content)
    cli.main([*arguments, option])
    assert capsys.readouterr().out == out


def test_one_layer_s_name_is_a_list_of_one(weights: Path, tmp_path: Path) -> None:
    units(weights, "--layers=output", "--control=false", "--rotations=3")
    assert [row["layer"] for row in table(tmp_path / "units")] == ["output"]
