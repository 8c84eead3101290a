"""Every recipe runs through the real command line, shortened where it is long."""

import csv
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torchvision.transforms.functional import to_pil_image

from lit_intriguing import cli

pytestmark = pytest.mark.integration

RECIPES = Path(__file__).parents[2] / "recipes"
QUIET = ["--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"]
SHORT = ["--trainer.max_epochs=1", "--trainer.limit_train_batches=60", *QUIET]
SUBCOMMANDS = {"fit", "ablate", "attack", "evaluate", "lipschitz", "probe", "transfer", "units"}


def subcommand_of(recipe: Path) -> str:
    """The subcommand that a recipe's first line names."""
    named = re.match(r"# lightning (\w+): ", recipe.read_text())
    assert named, recipe
    return named[1]


FIT = [r for r in sorted(RECIPES.glob("*.yaml")) if subcommand_of(r) == "fit"]


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def errors_of(output: str) -> list[float]:
    return [float(found) / 100 for found in re.findall(r"^test error ([\d.]+)%", output, re.M)]


def command(*arguments: str, folder: Path | None = None) -> str:
    """What the program prints, run as its own process, in this folder or another."""
    done = subprocess.run(
        [sys.executable, "-m", "lit_intriguing", *arguments],
        capture_output=True, text=True, timeout=300, check=False, cwd=folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "recipe",
    [r for r in FIT if "mnist" in r.name and "\npaper:" in r.read_text()],
    ids=lambda r: r.stem,
)
def test_mnist_recipe_trains_and_names_the_papers_number(
    recipe: Path, data_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.main(["fit", "--config", f"recipes/{recipe.name}", *SHORT])
    line = next(x for x in capsys.readouterr().out.splitlines() if x.startswith("test error"))
    assert re.fullmatch(r"test error [\d.]+% \(paper: .+\)", line)
    assert errors_of(line)[0] < 0.5


def test_digits_recipe_ends_well_below_five_percent_trained_on_examples_of_each_layer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.main(["fit", "--config", "recipes/adv_digits.yaml"])
    (error,) = errors_of(capsys.readouterr().out)
    assert error < 0.03
    for rows in logged_of_each_layer(tmp_path).values():
        assert len(rows) > 50
        assert all(row["distortion"] > 0 for row in rows)


def logged_of_each_layer(folder: Path) -> dict[str, list[dict[str, float]]]:
    """What a run logged of its examples, line by line."""
    with (folder / "lightning_logs" / "version_0" / "metrics.csv").open() as file:
        lines = list(csv.DictReader(file))
    return {
        layer: [
            {key: float(line[f"adversarial/{layer}/{key}"]) for key in ("distortion", "success")}
            for line in lines
            if line[f"adversarial/{layer}/loss"]
        ]
        for layer in ("input", "hidden1", "hidden2")
    }


def fit_on_the_digits(recipe: str, capsys: pytest.CaptureFixture[str], *options: str) -> None:
    on_digits = ["--config", f"recipes/{recipe}.yaml", "--config", "configs/digits.yaml"]
    cli.main(["fit", *on_digits, *options, *QUIET])
    output = capsys.readouterr().out
    assert "paper" not in output
    assert max(errors_of(output)) < 0.06


@pytest.mark.slow
def test_papers_scheme_runs_on_the_digits_and_finds_minimal_examples_of_each_layer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fit_on_the_digits("adv_mnist_lbfgs/minimal", capsys, "--trainer.max_epochs=20")
    for rows in logged_of_each_layer(tmp_path).values():
        assert len(rows) >= 5
        assert all(row["success"] > 0.9 and 0 < row["distortion"] < 0.5 for row in rows)


@pytest.mark.filterwarnings("ignore:.* of 64 examples have")  # rough steps give one up at times
@pytest.mark.parametrize(
    ("recipe", "start", "caps", "left"),
    [
        ("adv_mnist_lbfgs", 160, {"input": 2.0 / 8, "hidden1": 0.08, "hidden2": 0.08}, 0.5),
        ("adv_mnist_lbfgs/random", 80, {"input": 1.5 / 8, "hidden1": 0.06, "hidden2": 0.06}, 1.0),
    ],
)
def test_examples_by_lbfgs_are_capped_and_train_the_logistic_network_on_the_digits(
    recipe: str,
    start: int,
    caps: dict[str, float],
    left: float,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = ["--trainer.max_epochs=16", "--set"]
    fit_on_the_digits(recipe, capsys, *options, f"AdversarialTraining.start_step={start}")
    for layer, rows in logged_of_each_layer(tmp_path).items():
        assert len(rows) >= 5
        assert all(0 < row["distortion"] < caps[layer] + 1e-6 for row in rows)
        assert rows[-1]["distortion"] < (left + 0.1) * caps[layer]


@pytest.mark.parametrize("name", ["baseline_mnist", "dropout_mnist"])
def test_mnist_recipe_runs_on_the_digits(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    on_digits = ["--config", f"recipes/{name}.yaml", "--config", "configs/digits.yaml"]
    cli.main(["fit", *on_digits, *QUIET])
    output = capsys.readouterr().out
    assert "paper" not in output
    (error,) = errors_of(output)
    assert error < 0.05


@pytest.mark.parametrize("name", ["digits", "mnist"])
def test_attack_recipe_finds_examples_for_a_network_trained_by_another_recipe(
    name: str, request: pytest.FixtureRequest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if name == "mnist":
        request.getfixturevalue("data_dir")
    fit = ["fit", "--config", f"recipes/adv_{name}.yaml", *SHORT]
    cli.main([*fit, "--test_after_fit=false", "--trainer.logger=false"])
    (weights,) = tmp_path.rglob("*.ckpt")
    attack = ["attack", "--config", f"recipes/attack_{name}.yaml", f"--ckpt_path={weights}"]
    cli.main([*attack, "--limit=100"])
    assert "success " in capsys.readouterr().out
    with (tmp_path / f"attack_{name}" / "summary.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert row["images"] == "100"
    assert float(row["success"]) > 0.2
    assert (tmp_path / f"attack_{name}" / "examples.png").is_file()


def test_errors_of_the_weights_in_the_package_are_measured_at_all_sizes(
    tmp_path: Path, data_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluate = ["evaluate", "--config", "recipes/robustness_mnist.yaml", "--ckpt_path=adv_mnist"]
    cli.main([*evaluate, "--limit=8", "--sanity=0"])
    printed = capsys.readouterr().out
    for size in ("0.5", "1.0", "1.5", "0.05", "0.1"):
        assert re.search(rf"\b{size}\b", printed), printed
    assert (tmp_path / "robustness_mnist").is_dir()


@pytest.mark.parametrize("network", ["squeezenet", "alexnet"])
def test_figure_5_takes_photographs_toward_one_class(
    network: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    generator = torch.Generator().manual_seed(0)
    for number in range(12):
        folder = tmp_path / "photographs" / f"n{number:08d}"
        folder.mkdir(parents=True)
        pixels = torch.randint(256, (3, 240, 250), generator=generator, dtype=torch.uint8)
        to_pil_image(pixels).save(folder / "one.png")
    classes = "\n".join(f"n{number:08d}" for number in range(1000))
    (tmp_path / "classes.txt").write_text(classes)
    also = [f"--config=recipes/figure5/{network}.yaml"] * (network != "squeezenet")
    quick = ["--attack=GradientAttack", "--attack.eps=2.0", "--model.weights=null", "--limit=3"]
    folder = ["--data.folder=photographs", "--data.classes=classes.txt", "--data.workers=0"]
    cpu = ["--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false"]
    cli.main(["attack", "--config=recipes/figure5.yaml", *also, *quick, *folder, *cpu])
    assert "median, of successes (paper: 0.006508 mean)" in capsys.readouterr().out
    output = tmp_path / "figure5" / network
    examples = torch.load(output / "examples.pt", weights_only=True)
    assert examples["targets"].tolist() == [9, 9, 9]
    assert examples["clean"].shape == (3, 3, 227, 227)
    assert (output / "examples.png").is_file()


def last_weights(folder: Path) -> torch.Tensor:
    newest = max(folder.rglob("*.ckpt"), key=lambda path: path.stat().st_mtime)
    state = torch.load(newest, weights_only=True)["state_dict"]
    return torch.cat([value.double().flatten() for value in state.values()])


def test_units_of_the_convolutional_network_are_compared(
    tmp_path: Path, data_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.main(["fit", "--config", "recipes/convolutional_mnist.yaml", *SHORT])
    (weights,) = tmp_path.glob("lightning_logs/version_0/checkpoints/*.ckpt")
    few = ["--limit=60", "--rotations=2", "--rows=2", f"--ckpt_path={weights}"]
    cli.main(["units", "--config", "recipes/figure1_2.yaml", *few])
    assert "60 images; coherence by labels" in capsys.readouterr().out
    assert (tmp_path / "figure1_2" / "images_network.hidden.png").is_file()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The dirpath has changed")
def test_killed_digits_run_goes_on_to_bit_identical_weights(tmp_path: Path) -> None:
    fit = ["fit", "--config", "recipes/adv_digits.yaml", "--trainer.max_epochs=25", *QUIET]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    cli.main([*fit, f"--trainer.default_root_dir={whole}", "--trainer.logger=null"])
    fit += [f"--trainer.default_root_dir={killed}", "--trainer.logger=null"]
    process = subprocess.Popen([sys.executable, "-m", "lit_intriguing", *fit])
    checkpoint = wait_for_checkpoint(killed)
    process.kill()
    process.wait()
    cli.main([*fit, f"--ckpt_path={checkpoint}"])
    assert torch.equal(last_weights(whole), last_weights(killed))


def wait_for_checkpoint(folder: Path) -> Path:
    """A whole checkpoint of a run, copied before the next epoch's takes its place."""
    kept = folder.with_suffix(".ckpt")
    for _ in range(1200):
        for found in folder.rglob("*.ckpt"):
            try:
                torch.load(found, weights_only=True)
                shutil.copy(found, kept)
            except (OSError, RuntimeError, EOFError):
                continue
            return kept
        time.sleep(0.1)
    raise AssertionError("no checkpoint within two minutes")


@pytest.mark.slow
def test_digits_recipe_runs_on_two_processes_and_goes_on_from_their_checkpoint(
    tmp_path: Path,
) -> None:
    two = ["fit", "--config", "recipes/adv_digits.yaml", "--config", "configs/trainer/ddp_cpu.yaml"]
    command(*two, "--trainer.max_epochs=3", *QUIET)
    (first,) = tmp_path.rglob("*.ckpt")
    state = torch.load(first, weights_only=True)
    (pools,) = (
        value for key, value in state["callbacks"].items() if key.startswith("AdversarialTraining")
    )
    assert set(pools) == {"0", "1"}
    inputs = [pools[rank]["pools"][""]["tensors"]["inputs"] for rank in "01"]
    assert not torch.equal(*inputs)
    output = command(*two, "--trainer.max_epochs=30", f"--ckpt_path={first}", *QUIET)
    (error,) = errors_of(output)
    assert error < 0.05


def test_every_recipe_has_its_page() -> None:
    recipes = sorted(RECIPES.glob("*.yaml"))
    assert {subcommand_of(recipe) for recipe in recipes} == SUBCOMMANDS
    for recipe in recipes:
        page = recipe.with_suffix(".md").read_text()
        assert f"lightning {subcommand_of(recipe)} --config recipes/{recipe.name}" in page


def test_single_pixel_recipe_attacks_a_network_with_the_function_beside_it(tmp_path: Path) -> None:
    digits = ["--config=recipes/baseline_mnist.yaml", "--config=configs/digits.yaml", *QUIET]
    fit = ["--trainer.max_epochs=2", "--trainer.logger=false"]
    cli.main(["fit", *digits, *fit, "--test_after_fit=false"])
    (weights,) = tmp_path.rglob("*.ckpt")
    pixel = ["--config=recipes/attack/single_pixel.yaml", f"--ckpt_path={weights}"]
    short = ["--attack.options={population: 20, generations: 5}", "--limit=60"]
    output = tmp_path / "single_pixel"
    checkout = RECIPES.parent  # where the page says to run it: Python finds the function there
    printed = command("attack", *digits, *pixel, *short, f"--output={output}", folder=checkout)
    assert re.search(r"^success +[\d.]+%$", printed, re.M)
    found = torch.load(output / "examples.pt", weights_only=True)
    changed = (found["adversarial"] != found["clean"]).flatten(1).sum(1)
    assert len(changed) == 60
    assert found["success"].any()
    assert set(changed[found["success"]].tolist()) == {1}
