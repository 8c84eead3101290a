"""Each callback in Trainers of `lightning` and of `pytorch_lightning`, with their modules."""

import importlib
import io
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from lit_intriguing.attacks import GradientAttack
from lit_intriguing.callbacks import (
    AdversarialExamples,
    AdversarialTraining,
    AdversarialWeightPerturbation,
    Convergence,
    ExactResume,
    FullyShard,
    LipschitzMonitor,
    LipschitzPenalty,
    LoggerGuard,
    MovingAverage,
    PerturbedLayer,
    RobustnessEvaluation,
    RunProgress,
    SparseFilters,
    TrainingError,
    TransferEvaluation,
    UnitAnalysis,
)
from lit_intriguing.callbacks import __all__ as names
from lit_intriguing.data import TensorLoader
from lit_intriguing.errors import UserError

pytest.importorskip("pytorch_lightning")

N, FEATURES, CLASSES = 12, 6, 3
PACKAGES = ("lightning.pytorch", "pytorch_lightning")


@pytest.fixture(params=PACKAGES)
def package(request: pytest.FixtureRequest) -> ModuleType:
    return importlib.import_module(request.param)


def host_of(package: ModuleType) -> Any:
    class Host(package.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Sequential(
                nn.Linear(FEATURES, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Linear(5, CLASSES)
            )

        def forward(self, x: Tensor) -> Tensor:
            return self.net(x)

        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            self.print("step")
            return F.cross_entropy(self(batch[0]), batch[1])

        def validation_step(self, batch: Any, batch_idx: int) -> None:
            self.log("val_loss", F.cross_entropy(self(batch[0]), batch[1]))

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr=0.1)

    torch.manual_seed(0)
    return Host()


def loader() -> TensorLoader:
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(N, FEATURES, generator=generator)
    return TensorLoader(x, torch.arange(N) % CLASSES, N)


def trainer(package: ModuleType, *callbacks: Any, **options: Any) -> Any:
    settings = {
        "max_epochs": 2,
        "accelerator": "cpu",
        "logger": False,
        "enable_checkpointing": False,
        "enable_model_summary": False,
        "enable_progress_bar": any(isinstance(one, RunProgress) for one in callbacks),
    }
    return package.Trainer(callbacks=list(callbacks), **{**settings, **options})


def fit(package: ModuleType, *callbacks: Any, **options: Any) -> tuple[Any, dict[str, float]]:
    """Return the trained host, and what was measured."""
    host, run = host_of(package), trainer(package, *callbacks, **options)
    run.fit(host, loader(), loader())
    return host, {name: float(value) for name, value in run.callback_metrics.items()}


def same(one: Any, other: Any) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(*pair) for pair in pairs)


ATTACK = GradientAttack(0.1)
ATTACK_PATH = "lit_intriguing.attacks.BoxLBFGS"
LAYERS = {
    "": PerturbedLayer(ATTACK, pool=N, mix=N, refresh=N),
    "net.2": PerturbedLayer(ATTACK, pool=N, mix=N, refresh=N),
}

MEASURING: dict[str, Callable[[Path, ModuleType], Any]] = {
    "AdversarialExamples": lambda at, _: AdversarialExamples(ATTACK, examples=4, dirpath=at),
    "Convergence": lambda at, _: Convergence(),
    "ExactResume": lambda at, _: ExactResume(),
    "FullyShard": lambda at, _: FullyShard(),
    "LipschitzMonitor": lambda at, _: LipschitzMonitor(1, dirpath=at),
    "LoggerGuard": lambda at, _: LoggerGuard(),
    "RobustnessEvaluation": lambda at, _: RobustnessEvaluation(
        {"one": ATTACK}, {"l2": [9.0]}, examples=4, dirpath=at
    ),
    "RunProgress": lambda at, _: RunProgress(),
    "TrainingError": lambda at, _: TrainingError(),
    "TransferEvaluation": lambda at, package: TransferEvaluation(
        ATTACK, {"other": host_of(package)}, examples=4, dirpath=at
    ),
    "UnitAnalysis": lambda at, _: UnitAnalysis(
        ["net.2"], examples=12, k=3, rotations=2, dirpath=at
    ),
}
CHANGING: dict[str, Callable[[], Any]] = {
    "AdversarialTraining": lambda: AdversarialTraining(LAYERS),
    "AdversarialTraining, out": lambda: AdversarialTraining(LAYERS, keep_out=True),
    "AdversarialWeightPerturbation": lambda: AdversarialWeightPerturbation(0.05),
    "LipschitzPenalty": lambda: LipschitzPenalty(0.1),
    "MovingAverage": lambda: MovingAverage(0.5),
}


def test_all_callbacks_are_here() -> None:
    elsewhere = {"LogisticFromTanh", "PerturbedLayer", "SparseFilters", "UnderAttack"}
    here = {*MEASURING, *CHANGING, *elsewhere} - {"AdversarialTraining, out"}
    assert here == set(names)


@pytest.mark.integration
@pytest.mark.filterwarnings("ignore:Training ended after 2 evaluations")
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("name", MEASURING)
def test_what_measures_changes_no_weight_and_finds_the_same_in_both(
    name: str, precision: str, tmp_path: Path
) -> None:
    found = []
    for package in map(importlib.import_module, PACKAGES):
        alone, few = fit(package, precision=precision)
        callback = MEASURING[name](tmp_path / package.__name__, package)
        beside, more = fit(package, callback, precision=precision)
        assert same(alone, beside)
        assert {key: more[key] for key in few} == few
        found.append((more, getattr(callback, "errors", None)))
    assert found[0] == found[1]
    if name not in ("ExactResume", "FullyShard", "LoggerGuard", "RunProgress", "TrainingError"):
        assert len(found[0][0]) > len(few)


@pytest.mark.parametrize("name", CHANGING)
def test_what_changes_training_does_the_same_in_both(name: str) -> None:
    first, second = map(importlib.import_module, PACKAGES)
    one, metrics = fit(first, CHANGING[name]())
    other, others = fit(second, CHANGING[name]())
    assert same(one, other)
    times = {"adversarial/generating"}  # in seconds
    assert {key: metrics[key] for key in metrics.keys() - times} == {
        key: others[key] for key in others.keys() - times
    }
    assert not same(one, fit(first)[0])


@pytest.mark.filterwarnings("ignore:The dirpath has changed")
def test_an_average_and_random_states_are_resumed(package: ModuleType, tmp_path: Path) -> None:
    def run(folder: Path, epochs: int, **options: Any) -> Any:
        checkpoints = package.callbacks.ModelCheckpoint(folder, "{epoch}", save_top_k=-1)
        callbacks = [MovingAverage(0.5), AdversarialTraining(LAYERS), ExactResume(), checkpoints]
        host = host_of(package)
        loop = trainer(package, *callbacks, max_epochs=epochs, enable_checkpointing=True)
        loop.fit(host, loader(), loader(), **options)
        return host

    whole = run(tmp_path / "whole", 4)
    run(tmp_path / "half", 2)
    assert same(whole, run(tmp_path / "again", 4, ckpt_path=tmp_path / "half" / "epoch=1.ckpt"))


def test_what_is_measured_can_be_monitored(package: ModuleType, tmp_path: Path) -> None:
    checkpoints = package.callbacks.ModelCheckpoint(tmp_path, monitor="examples/distortion")
    measured = AdversarialExamples(ATTACK, examples=4, dirpath=tmp_path)
    fit(package, measured, checkpoints, enable_checkpointing=True)
    assert checkpoints.best_model_score > 0


def test_one_bar_is_shown(
    package: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    monkeypatch.setattr("sys.stderr", stream)
    fit(package, RunProgress())
    assert "Run" in stream.getvalue()
    assert "Epoch" not in stream.getvalue()
    assert capsys.readouterr().out.count("step") == 2


def test_the_package_s_own_command_line_knows_them_all(
    package: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {
        "AdversarialTraining": {"layers": {"": {"attack": {"class_path": ATTACK_PATH}}}},
        "LipschitzPenalty": {"weight": 0.1},
        "SparseFilters": {"activation": 0.1, "local": 0.9},
        "UnderAttack": {"attack": {"class_path": f"{GradientAttack.__module__}.GradientAttack",
                                   "init_args": {"eps": 0.1}}},
        "UnitAnalysis": {"layers": ["net.2"]},
    }  # fmt: skip
    wanted = [name for name in names if name != "PerturbedLayer"]
    callbacks = [
        {"class_path": f"lit_intriguing.callbacks.{name}", "init_args": given.get(name, {})}
        for name in wanted
    ]
    settings = {"callbacks": callbacks, "accelerator": "cpu", "logger": False}
    monkeypatch.setattr("sys.argv", ["fit"])
    cli = importlib.import_module(f"{package.__name__}.cli").LightningCLI
    made = cli(
        type(host_of(package)), run=False, args={"trainer": settings}, seed_everything_default=False
    )
    found = [type(one).__name__ for one in made.trainer.callbacks]
    assert set(wanted) <= set(found)
    assert made.trainer.progress_bar_callback is made.trainer.callbacks[found.index("RunProgress")]


def test_a_module_without_forward_is_trained_and_measured_on_its_loss_and_not_bounded(
    package: ModuleType, tmp_path: Path
) -> None:
    class NoForward(package.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Linear(FEATURES, CLASSES)

        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            return F.cross_entropy(self.net(batch[0]), batch[1])

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr=0.1)

    examples = AdversarialExamples(ATTACK, dirpath=tmp_path)
    loop = trainer(package, AdversarialTraining({"": LAYERS[""]}), examples)
    loop.fit(NoForward(), loader())
    assert loop.callback_metrics["examples/loss"] > loop.callback_metrics["examples/loss_clean"]
    with pytest.raises(UserError, match=r"NoForward has no forward.* model=<name>"):
        trainer(package, LipschitzMonitor(dirpath=tmp_path)).fit(NoForward(), loader())


def test_filters_of_another_module_are_refused(package: ModuleType) -> None:
    with pytest.raises(UserError, match="SparseFilters measures a SparseAutoencoder, not a Host"):
        fit(package, SparseFilters(0.1, 0.9))
