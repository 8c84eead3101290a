"""A typo gives one line that names it and the nearest right spelling, and status 2."""

import importlib.util
import typing
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from lightning.pytorch import Callback

from lit_intriguing import cli
from lit_intriguing.cli.messages import failed_logger
from lit_intriguing.configuration import class_paths, shipped
from lit_intriguing.errors import UsageError

BASE = {"model": {"class_path": "tests.tiny.Tiny"}, "trainer": {"accelerator": "cpu"}}
CHECKPOINT = "lightning.pytorch.callbacks.ModelCheckpoint"


@dataclass
class Layer:
    """What a callback may want for each layer."""

    weight: float = 1.0
    pool: int = 100


class Layered(Callback):
    """A callback with dataclasses in a dictionary, as `AdversarialTraining` has them."""

    def __init__(self, layers: dict[str, Layer], first: Layer | None = None) -> None:
        self.layers = layers
        self.first = first


class Loose(Callback):
    """A callback with a dictionary whose types are not given."""

    def __init__(self, options: typing.Dict = None) -> None:  # noqa: UP006, RUF013
        self.options = options


def callback(path: str, **init_args: object) -> dict[str, object]:
    return {"trainer": {"callbacks": [{"class_path": path, "init_args": init_args}]}}


TYPOS = {
    "a top key": ({"trianer": {"max_epochs": 3}}, "no option 'trianer'. Did you mean 'trainer'?"),
    "a key of the trainer": (
        {"trainer": {"max_epoch": 3}},
        "no option 'trainer.max_epoch'. Did you mean 'trainer.max_epochs'?",
    ),
    "our own key": ({"test_after": 1}, "no option 'test_after'. Did you mean 'test_after_fit'?"),
    "a package": (
        {"model": {"class_path": "lit_intrigung.models.Classifier"}},
        "Did you mean 'lit_intriguing.models.Classifier'?",
    ),
    "a room of ours": (
        {"model": {"class_path": "lit_intriguing.modles.Classifier"}},
        "Did you mean 'lit_intriguing.models.Classifier'?",
    ),
    "a class of ours": (
        {"model": {"class_path": "lit_intriguing.models.Clasifier"}},
        "Did you mean 'lit_intriguing.models.Classifier'?",
    ),
    "a class by its bare name": ({"model": "Clasifier"}, "Did you mean 'Classifier'?"),
    "init_args itself": (
        {"model": {"class_path": "tests.tiny.Tiny", "init_arg": {}}},
        "Tiny has no parameter 'init_arg'. Did you mean 'init_args'?",
    ),
    "a key in init_args": (
        {"model": {"class_path": "tests.tiny.Tiny", "init_args": {"widht": 4}}},
        "model.init_args: Tiny has no parameter 'widht'. Did you mean 'width'?",
    ),
    "a callback in a list": (
        callback("lightning.pytorch.callbacks.ModelChekpoint"),
        f"trainer.callbacks[0]: no class or function 'lightning.pytorch.callbacks.ModelChekpoint' "
        f"(lightning.pytorch.callbacks has no 'ModelChekpoint'). Did you mean '{CHECKPOINT}'?",
    ),
    "a callback's key": (
        callback(CHECKPOINT, save_tpo_k=3),
        "trainer.callbacks[0].init_args: ModelCheckpoint has no parameter 'save_tpo_k'. "
        "Did you mean 'save_top_k'?",
    ),
    "a callback without a list": (
        {"trainer": {"callbacks": {"class_path": CHECKPOINT, "init_args": {"monitr": "x"}}}},
        "Did you mean 'monitor'?",
    ),
    "a key of a dataclass in a dictionary": (
        callback("tests.cli.test_errors.Layered", layers={"hidden1": {"wieght": 2.0}}),
        "trainer.callbacks[0].init_args.layers.hidden1: Layer has no parameter 'wieght'. "
        "Did you mean 'weight'?",
    ),
    "a key under an empty name": (
        callback("tests.cli.test_errors.Layered", layers={"": {"wieght": 2.0}}),
        "trainer.callbacks[0].init_args.layers.'': Layer has no parameter 'wieght'.",
    ),
    "a key of a dataclass that stands beside it": (
        callback("tests.cli.test_errors.Layered", layers={}, wieght=2.0),
        "Layered has no parameter 'wieght'. Each Layer of its 'layers' has 'weight'.",
    ),
    "a key beside a dictionary of no known types": (
        callback("tests.cli.test_errors.Loose", qqqq=2.0),
        "Loose has no parameter 'qqqq'. It has options.",
    ),
    "a key like no other": (
        callback("tests.cli.test_errors.Layered", layers={}, qqqq=2.0),
        "Layered has no parameter 'qqqq'. It has ",
    ),
    "a key of an optional dataclass": (
        callback("tests.cli.test_errors.Layered", layers={}, first={"pol": 3}),
        "Did you mean 'pool'?",
    ),
    "a value": (
        {"trainer": {"max_epochs": "three"}},
        "trainer.max_epochs: expected int or null, got 'three'.",
    ),
    "a nested value": (
        callback(CHECKPOINT, save_top_k="few"),
        "trainer.callbacks (ModelCheckpoint.save_top_k): expected int, got 'few'.",
    ),
}


def complaint(arguments: list[str], capsys: pytest.CaptureFixture[str], status: int = 2) -> str:
    """Runs a command that must be refused in one line; returns the line."""
    with pytest.raises(SystemExit) as stopped:
        cli.main(arguments)
    lines = [x for x in capsys.readouterr().err.splitlines() if not x.startswith("Seed set")]
    assert stopped.value.code == status
    assert len(lines) == 1
    return lines[0]


@pytest.fixture
def base(tmp_path: Path) -> str:
    file = tmp_path / "base.yaml"
    file.write_text(yaml.safe_dump(BASE))
    return str(file)


@pytest.mark.parametrize("kind", TYPOS)
def test_a_typo_in_a_file(
    kind: str, base: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content, expected = TYPOS[kind]
    file = tmp_path / "typo.yaml"
    file.write_text(yaml.safe_dump(content))
    line = complaint(["fit", "--config", base, "--config", str(file)], capsys)
    assert line.startswith("lightning: ")
    assert expected in line


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("--trainer.max_epoch=3", "no option 'trainer.max_epoch'. Did you mean 'trainer.max_e"),
        ("--confg=x.yaml", "no option 'confg'. Did you mean 'config'?"),
        ("--model.widht=3", "Tiny has no parameter 'widht'. Did you mean 'width'?"),
        ("--model.init_args.widht=3", "Tiny has no parameter 'widht'. Did you mean 'width'?"),
        ("--trainer.callbacks+=AdversarialTrainin", "Did you mean 'AdversarialTraining'?"),
        ("--trainer.callbacks=[Timer, ExactResum]", "[1]: no class 'ExactResum'. Did you mean"),
        ("--trainer.logger=CSVLoger", "no class 'CSVLoger'. Did you mean 'CSVLogger'?"),
        ("--threads=0", "threads: expected int > 0 or null, got '0'."),
        ("--model.width=broad", "expected int, got 'broad'."),
        ("--trainer.max_epochs=three", "trainer.max_epochs: expected int or null, got 'three'."),
    ],
)
def test_a_typo_in_an_option(
    option: str, expected: str, base: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert expected in complaint(["fit", "--config", base, option], capsys)


MODULES = ["lipschitz", "--model=lit_intriguing.models.Network", "--input_shape=[3, 8, 8]"]


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        (
            "torchvision.models.resnet81",
            "model.network: no class or function 'torchvision.models.resnet81' "
            "(torchvision.models has no 'resnet81'). Did you mean 'torchvision.models.resnet",
        ),
        (
            "my_own_networks.Small",
            "no class or function 'my_own_networks.Small' (no package or module "
            "'my_own_networks' is installed, in this folder or on PYTHONPATH).",
        ),
        (
            "math.sqrt",
            "network: math.sqrt is no Module: give a class of that kind, or a function that says",
        ),
    ],
)
def test_what_makes_no_network_is_named(
    network: str, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert expected in complaint([*MODULES, f"--model.network={network}"], capsys)


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("--radii=[0.1, -0.3]", "radii: expected float >= 0 or null, got '-0.3'."),
        ("--radii=[nan]", "radii: expected float >= 0 or null, got 'nan'."),
        ("--radii=[a]", "radii: expected float >= 0 or null, got '['a']'."),
        ("--input_shape=[3, 0, 224]", "input_shape: expected int > 0 or null, got '0'."),
        ("--input_shape=[3.5]", "input_shape: expected int > 0 or null, got '3.5'."),
        ("--split=foo", "split: expected train or validation or test, got 'foo'."),
    ],
)
def test_what_a_number_or_word_is_to_be_is_told(
    option: str, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--model=tests.tiny.Tiny", option]
    assert complaint(["lipschitz", *options], capsys) == f"lightning: {expected}"


def test_a_word_inside_an_attack_is_told_with_its_choices(
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = ["--model=tests.tiny.Tiny", "--attack=BoxLBFGS", "--attack.mode=papr"]
    line = complaint(["attack", *options], capsys)
    assert line.endswith("attack (BoxLBFGS.mode): expected fast or paper, got 'papr'.")


def test_the_second_of_several_callbacks_is_named(
    base: str, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--trainer.callbacks+=Timer", "--trainer.callbacks+=ExactResum"]
    line = complaint(["fit", "--config", base, *options, "--trainer.logger=false"], capsys)
    assert "trainer.callbacks[1]: no class 'ExactResum'. Did you mean 'ExactResume'?" in line


def test_a_model_is_needed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main(["fit"])
    lines = capsys.readouterr().err.splitlines()
    assert stopped.value.code == 2
    assert lines[0].startswith("lightning: fit needs `model`, and nothing given has it: ")
    assert lines[0].endswith(": lightning fit --config adv_digits --trainer.max_epochs 20")
    assert len(lines) == 2


def test_a_value_that_a_class_refuses(base: str, capsys: pytest.CaptureFixture[str]) -> None:
    line = complaint(["fit", "--config", base, "--model.width=0"], capsys, status=1)
    assert line == "lightning: width must be positive, got 0."


@pytest.mark.parametrize(
    ("recipe", "before", "after", "said"),
    [
        ("adv_mnist_lbfgs", "max_length: 2.0", "max_length: -2.0",
         "PerturbedLayer: max_length must be positive and finite, not -2.0."),
        ("adv_digits", "weight: 2.0", "weight: -2.0",
         "weight must be positive and finite, not -2.0."),
    ],
)  # fmt: skip
def test_a_value_that_a_class_inside_a_callback_refuses(
    recipe: str, before: str, after: str, said: str, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    text = Path(f"recipes/{recipe}.yaml").read_text()
    assert before in text
    (tmp_path / "mine.yaml").write_text(text.replace(before, after))
    with pytest.raises(SystemExit):
        cli.main(["fit", "--config", str(tmp_path / "mine.yaml")])
    assert capsys.readouterr().err.splitlines()[-1] == f"lightning: {said}"


def test_a_trainer_option_that_lightning_refuses(
    base: str, capsys: pytest.CaptureFixture[str]
) -> None:
    line = complaint(["fit", "--config", base, "--trainer.accelerator=gpuu"], capsys, status=1)
    assert "`accelerator='gpuu'`" in line


def test_a_module_that_cannot_be_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine_that_fails.py").write_text("import no_such_package\n")
    monkeypatch.syspath_prepend(tmp_path)
    line = complaint(["fit", "--model", "mine_that_fails.Net"], capsys)
    assert "cannot import 'mine_that_fails': No module named 'no_such_package'" in line


@pytest.mark.parametrize(
    "attack", ["attack/l2", "attack/linf", "attack/noise", "adversarial/pgd", "adversarial/free"]
)
def test_an_attack_for_a_recipe_that_has_one(
    attack: str, capsys: pytest.CaptureFixture[str]
) -> None:
    configs = ["--config=recipes/adv_digits.yaml", f"--config=configs/{attack}.yaml"]
    line = complaint(["fit", *configs, "--trainer.logger=false"], capsys, status=1)
    assert line == (
        "lightning: there are two AdversarialTraining callbacks. Fragments in configs/attack and "
        "configs/adversarial combine with recipes that have none (baseline_mnist, dropout_mnist)."
    )
    fragment = (shipped.root() / f"configs/{attack}.yaml").read_text()
    assert "baseline_mnist" in fragment
    assert "dropout_mnist" in fragment


def test_any_other_callback_given_twice(base: str, capsys: pytest.CaptureFixture[str]) -> None:
    twice = ["--trainer.callbacks+=ExactResume"] * 2
    line = complaint(["fit", "--config", base, *twice, "--trainer.logger=false"], capsys, status=1)
    assert line == (
        "lightning: there are two ExactResume callbacks. "
        "Leave one of them out of the configuration files."
    )


@pytest.mark.skipif(importlib.util.find_spec("foolbox") is not None, reason="foolbox is installed")
def test_library_that_is_not_installed_is_told_with_the_command_that_installs_it() -> None:
    with pytest.raises(UsageError, match=r"pip install 'lit-intriguing\[foolbox\]'"):
        class_paths.locate("foolbox.attacks.DDNAttack")


@pytest.mark.integration
def test_wandb_without_a_network_gives_one_line_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import wandb

    def init(**options: object) -> None:
        raise wandb.errors.CommError("Timed out:\nno such host.")

    wandb.teardown()  # of another test
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(wandb, "init", init)
    with pytest.raises(SystemExit) as stopped:
        cli.main([
            "fit", "--model=tests.tiny.Tiny", "--trainer.accelerator=cpu",
            "--config=configs/logger/csv_wandb.yaml", "--trainer.enable_progress_bar=false",
            "--trainer.max_epochs=1",
        ])  # fmt: skip
    assert stopped.value.code == 1
    (line,) = (one for one in capsys.readouterr().err.splitlines() if "lightning:" in one)
    assert line.startswith("lightning: W&B cannot begin. Without a network or an account")
    assert line.rstrip().endswith("It says: Timed out: no such host.")
    assert "WANDB_MODE=offline" in line


def test_only_errors_of_loggers_are_taken_for_theirs() -> None:
    assert failed_logger(ValueError("wandb mlflow")) is None


@pytest.mark.skipif(importlib.util.find_spec("mlflow") is not None, reason="MLflow is installed")
def test_a_logger_whose_library_is_missing_names_our_extra(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main(["fit", "--config", "adv_digits", "--config", "logger/mlflow"])
    assert stopped.value.code
    advice = "pip install 'lit-intriguing[mlflow]'"
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"lightning: MLFlowLogger needs mlflow, which is not installed: {advice}"
    )
