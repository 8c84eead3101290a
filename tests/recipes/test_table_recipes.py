"""The models of tables 1 and 3 are trained by their recipes: shortened, and on the digits whole."""

import re
from pathlib import Path

import pytest
import torch
import yaml

from lit_intriguing import cli
from lit_intriguing.data import mnist, mnist_files
from tests.data.mnist_stand_in import accept, contents, write

RECIPES = Path(__file__).parents[2] / "recipes"
ENCODER = "table1/ae400_encoder"
NAMES = sorted(
    path.relative_to(RECIPES).with_suffix("").as_posix()
    for table in ("table1", "table3")
    for path in (RECIPES / table).glob("*.yaml")
)
QUIET = [
    "--trainer.enable_progress_bar=false",
    "--trainer.enable_model_summary=false",
    "--trainer.log_every_n_steps=1",
]
ON_DIGITS = ["--data=lit_intriguing.data.Digits", "--data.batch_size=2000"]


def configs(name: str) -> list[str]:
    """What the pages say to type behind `lightning fit`."""
    training = [] if name == ENCODER else ["--config=configs/full_batch_lbfgs.yaml"]
    return ["fit", *training, f"--config=recipes/{name}.yaml", *QUIET]


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def _stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """60 rows in place of MNIST."""
    files = contents(60)
    accept(files, monkeypatch)
    monkeypatch.setattr(mnist, "_SIZE", 60)
    monkeypatch.setenv(mnist_files.DATA_VARIABLE, str(tmp_path / "data"))
    write(tmp_path / "data", files)


def test_all_models_of_the_two_tables_have_a_recipe() -> None:
    assert len(NAMES) == 7 + 3


@pytest.mark.usefixtures("_stand_in")
@pytest.mark.filterwarnings(
    "ignore:Training ended after .* before it converged", "ignore:The filters are not sparse"
)
@pytest.mark.parametrize("name", NAMES)
def test_recipe_trains_names_the_paper_s_numbers_and_keeps_the_weights(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if "ae400" in name:
        cli.main([*configs(ENCODER), "--trainer.max_epochs=1"])
    if name != ENCODER:
        cli.main([*configs(name), "--trainer.max_epochs=2"])
        printed = capsys.readouterr().out
        assert re.search(r"^training error [\d.]+% \(paper: [\d.]+%\)$", printed, re.MULTILINE)
        assert re.search(r"^test error [\d.]+% \(paper: [\d.]+%\)$", printed, re.MULTILINE)
        other = re.search(r"^error on (P\d) [\d.]+%$", printed, re.MULTILINE)
        expected = {"p1": "P2", "p2": "P1"}.get(name[-2:])
        assert (other and other[1]) == expected
    assert torch.load(tmp_path / name / "trained.ckpt", weights_only=True)["state_dict"]


def error(printed: str, which: str) -> float:
    return float(re.search(rf"^{which} error ([\d.]+)%", printed, re.MULTILINE)[1])


def test_the_networks_of_table_1_are_fitted_to_the_digits_until_convergence(
    capsys: pytest.CaptureFixture[str],
) -> None:
    training = {}
    for name, widths in (("fc10_1", [64, 10]), ("fc100", [64, 100, 100, 10])):
        model = f"--model.widths={widths}"
        cli.main([*configs(f"table1/{name}"), *ON_DIGITS, model, "--trainer.logger=false"])
        printed = capsys.readouterr().out
        assert "converged after" in printed or "stopped after" in printed
        training[name] = error(printed, "training")
        assert error(printed, "test") < (25 if name == "fc10_1" else 6)
    assert training["fc100"] == 0
    assert training["fc10_1"] > 5


@pytest.mark.filterwarnings("ignore:The filters are not sparse")
def test_softmax_on_the_frozen_encoder_learns_the_digits(
    capsys: pytest.CaptureFixture[str],
) -> None:
    small = ["--data=lit_intriguing.data.Digits", "--model.inputs=64", "--model.decay=1e-4"]
    cli.main([*configs(ENCODER), *small, "--data.batch_size=100", "--trainer.max_epochs=10"])
    stops = ["--trainer.max_epochs=8", "--trainer.logger=false"]
    with pytest.warns(UserWarning, match="before it converged"):
        cli.main([*configs("table1/ae400"), *ON_DIGITS, "--model.widths=[64, 400, 10]", *stops])
    assert error(capsys.readouterr().out, "test") < 6


@pytest.mark.parametrize("name", NAMES)
def test_the_recipe_s_page_gives_its_command(name: str) -> None:
    table = name.partition("/")[0]
    page = (RECIPES / f"{table}.md").read_text()
    arguments = [c.removeprefix("--config=") for c in configs(name) if c.startswith("--config=")]
    command = "lightning fit " + " ".join(f"--config {argument}" for argument in arguments)
    general = command.replace(f"recipes/{name}.yaml", f"recipes/{table}/NAME.yaml")
    assert command in page or (general in page and f"`{name.partition('/')[2]}`" in page)


@pytest.mark.parametrize("name", NAMES)
def test_the_recipe_keeps_its_weights_under_its_own_name(name: str) -> None:
    recipe = yaml.safe_load((RECIPES / f"{name}.yaml").read_text())
    trainer = recipe["trainer"]
    (kept,) = [
        one["init_args"]
        for one in trainer.get("callbacks+", trainer.get("callbacks"))
        if one["class_path"].endswith("ModelCheckpoint")
    ]
    assert kept["dirpath"] == name
