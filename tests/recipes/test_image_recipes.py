"""The recipes on images run through the real command line, shortened, on small folders."""

import csv
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lit_intriguing import cli
from recipes.bench import car_features
from recipes.figures import strongest_filters
from tests.data.images.folders import class_folders

pytestmark = pytest.mark.integration

CARS = ["--config=recipes/cars_cifar10.yaml"]
CLEAN = ["--config=recipes/cars_cifar10/clean.yaml"]
SHORT = ["--trainer.max_epochs=1", "--data.batch_size=8", "--trainer.log_every_n_steps=1"]
FEW = ["--model.network.init_args.maps=2"]
QUIET = ["--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"]


@pytest.fixture(autouse=True)
def _small_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LIT_INTRIGUING_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for part, count in (("train", 16), ("test", 4)):
        counts = {"automobile": count, "cat": count // 2, "dog": count // 2}
        class_folders(tmp_path / "data" / "cifar10" / part, counts, size=32)


def test_cars_are_trained_with_and_without_examples(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for files in (CARS, CARS + CLEAN):
        cli.main(["fit", *files, *SHORT, *QUIET])
        assert re.search(r"^test error [\d.]+%$", capsys.readouterr().out, re.M)
    logged = [path.read_text() for path in sorted(tmp_path.rglob("metrics.csv"))]
    assert ["adversarial/network.pool2/loss" in text for text in logged] == [True, False]


@pytest.mark.slow
def test_cars_are_trained_on_two_processes(tmp_path: Path) -> None:
    two = ["--config=configs/trainer/ddp_cpu.yaml", "--test_after_fit=false"]
    done = subprocess.run(
        [sys.executable, "-m", "lit_intriguing", "fit", *CARS, *two, *SHORT, *QUIET],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (metrics,) = tmp_path.rglob("metrics.csv")
    with metrics.open() as file:
        steps = [int(row["step"]) for row in csv.DictReader(file) if row["train/loss"]]
    assert steps == [0, 1]  # 32 images, 8 a step on each of two processes


def test_the_study_of_cars_trains_and_attacks(tmp_path: Path) -> None:
    short = '{"trainer": {"max_steps": 2}}'
    one = f'{{"cars": {{"recipe": "recipes/cars_cifar10.yaml", "overrides": {short}}}}}'
    study = ["transfer", "--config=recipes/cars_cifar10/study.yaml", "--limit=6", f"--models={one}"]
    cli.main(study)
    assert "for cars" in (tmp_path / "transfer" / "cars_cifar10" / "transfer.md").read_text()


@pytest.mark.filterwarnings("ignore:ExactResume. a run that is resumed within an epoch")
@pytest.mark.parametrize("name", ["alexnet_imagenet", "adv_alexnet_imagenet"])
def test_alexnet_makes_a_step(name: str, tmp_path: Path) -> None:
    class_folders(tmp_path / "data" / "imagenet" / "train", {"n1": 4, "n2": 4}, size=40)
    class_folders(tmp_path / "data" / "imagenet" / "val", {"n1": 1, "n2": 1}, size=50)
    here = ["--config=configs/trainer/cpu.yaml", "--trainer.strategy=auto"]
    step = ["--trainer.precision=32-true", "--trainer.limit_train_batches=1", "--model.classes=2"]
    small = ["--data.batch_size=4", "--trainer.log_every_n_steps=1", "--trainer.max_epochs=1"]
    cli.main(["fit", f"--config=recipes/{name}.yaml", *here, *step, *small, *QUIET])
    (metrics,) = tmp_path.rglob("metrics.csv")
    assert ("adversarial/network.pool5/loss" in metrics.read_text()) == name.startswith("adv_")
    assert "val/error" in metrics.read_text()


def test_features_without_labels_a_detector_of_cars_on_them_and_cars_that_are_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.main(["fit", "--config=recipes/quocnet_cifar.yaml", *FEW, *SHORT, *QUIET])
    (features,) = tmp_path.rglob("*.ckpt")
    assert "test unexplained_1" in capsys.readouterr().out
    few = ["--model.features.init_args.maps=2"]
    cars = ["--config=recipes/quocnet_cifar/cars.yaml", *few, f"--model.encoder={features}"]
    cli.main(["fit", *cars, *SHORT, *QUIET, "--trainer.logger.init_args.name=cars"])
    assert re.search(r"^test error [\d.]+%$", capsys.readouterr().out, re.M)
    (detector,) = (tmp_path / "cars").rglob("*.ckpt")
    figure = ["--config=recipes/figure6.yaml", *few, f"--ckpt_path={detector}"]
    cli.main(["attack", *figure, "--only_correct=false"])
    found = torch.load(tmp_path / "figure6" / "examples.pt", weights_only=True)
    assert set(found["labels"][found["attacked"]].tolist()) == {1}
    assert found["success"][found["attacked"]].all()
    assert (tmp_path / "figure6" / "examples.png").is_file()
    noise = ["--attack=lit_intriguing.attacks.GaussianNoise", "--attack.stddev=0.001"]
    cli.main(["attack", *figure, *noise, "--output=noise"])


def test_layers_of_quocnet_are_bounded_and_compared_with_random_directions(tmp_path: Path) -> None:
    cli.main(["fit", "--config=recipes/quocnet_cifar.yaml", *FEW, *SHORT, *QUIET])
    (features,) = tmp_path.rglob("*.ckpt")
    here = ["--config=recipes/quocnet_cifar.yaml", *FEW, f"--ckpt_path={features}"]
    cli.main(["lipschitz", *here])
    table = (tmp_path / "lipschitz" / "lipschitz.csv").read_text()
    assert "network.stage1.filters,LocalFilters" in table
    assert "inf" not in table
    cli.main(["units", *here, "--layers=network.stage1.pool", "--k=4", "--rotations=3"])
    assert any((tmp_path / "units").glob("*.csv"))


def test_the_strongest_filters_are_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.main(["fit", "--config=recipes/quocnet_cifar.yaml", *FEW, *SHORT, *QUIET])
    (features,) = tmp_path.rglob("*.ckpt")
    capsys.readouterr()
    strongest_filters.main([str(features), "filters.png", "--count", "20"])
    assert capsys.readouterr().out.startswith("20 strongest of 1458; ")
    assert (tmp_path / "filters.png").stat().st_size > 1000


@pytest.mark.filterwarnings("ignore:lbfgs failed to converge")  # of so few images
def test_features_are_compared_with_random_filters_and_pixels_and_no_run_is_done_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(car_features, "RESULTS", tmp_path / "found.json")
    small = ["--network", "maps=2", "kernel=16"]
    car_features.main(["--held_out", "--seeds", "3", *small])
    first = json.loads((tmp_path / "found.json").read_text())["runs"]
    assert [run["features"] for run in first] == ["pixels", "random", "trained"]
    assert not any("test" in run for run in first)
    assert first[2]["network"]["kernel"] == 16
    assert first[2]["seed"] == 3
    car_features.main(["--seeds", "3", *small])
    second = json.loads((tmp_path / "found.json").read_text())["runs"]
    assert [run["held_out"] for run in second] == [run["held_out"] for run in first]
    assert all(0 <= run["test"] <= 100 for run in second)
    monkeypatch.setattr(car_features, "errors", lambda *_: pytest.fail("measured again"))
    for held_out in ([], ["--held_out"]):
        car_features.main([*held_out, "--seeds", "3", *small])
    assert (
        "| trained | stages 1, maps 2, kernel 16, pool 3, pixels 5 | 1 |" in capsys.readouterr().out
    )
