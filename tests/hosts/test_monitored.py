"""What callbacks measure, as others monitor it: `ModelCheckpoint`, `EarlyStopping`."""

import csv
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import (
    EarlyStopping,
    ModelCheckpoint,
    StochasticWeightAveraging,
)
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.utils.data import DataLoader, TensorDataset

from lit_intriguing.attacks import GradientAttack
from lit_intriguing.callbacks import (
    AdversarialExamples,
    AdversarialTraining,
    LipschitzMonitor,
    LipschitzPenalty,
    PerturbedLayer,
    TransferEvaluation,
)
from lit_intriguing.callbacks.measuring import Measuring
from lit_intriguing.errors import UserError
from lit_intriguing.hosts.monitored import check_monitors
from lit_intriguing.loggers.when import When
from tests.callbacks.scripts import train_in

pytestmark = pytest.mark.filterwarnings(
    "ignore:The number of training batches", "ignore:Found .* module.s. in eval mode"
)


class Host(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Flatten(), nn.Linear(16, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)  # type: ignore[no-any-return]

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        return F.cross_entropy(self(batch[0]), batch[1])

    def validation_step(self, batch: list[Tensor], batch_idx: int) -> None:
        self.log("val_loss", F.cross_entropy(self(batch[0]), batch[1]), sync_dist=True)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)


class Recorded(Callback):
    """Keeps the callback metrics at the end of each training epoch and each validation."""

    def __init__(self) -> None:
        self.epochs: list[dict[str, Tensor]] = []

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.epochs.append({k: v.clone() for k, v in trainer.callback_metrics.items()})


def loader() -> DataLoader[Any]:
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(24, 4, 4, generator=generator)
    return DataLoader(TensorDataset(x, torch.arange(24) % 3), 4)


def fit(folder: Path, *callbacks: Callback, **options: Any) -> Trainer:
    torch.manual_seed(0)
    settings = {
        "max_epochs": 3,
        "accelerator": "cpu",
        "logger": CSVLogger(folder),
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": any(isinstance(one, ModelCheckpoint) for one in callbacks),
        "default_root_dir": folder,
        **options,
    }
    trainer = Trainer(callbacks=list(callbacks), **settings)
    trainer.fit(Host(), loader(), loader())
    return trainer


def measuring(folder: Path) -> dict[str, Callback]:
    attack = GradientAttack(eps=2.0)
    pooled = PerturbedLayer(GradientAttack(eps=0.5), pool=16, mix=4, refresh=4)
    return {
        "examples/distortion": AdversarialExamples(attack, examples=3, dirpath=folder),
        "transfer/success": TransferEvaluation(attack, examples=3, dirpath=folder),
        "lipschitz/network": LipschitzMonitor(dirpath=folder),
        "adversarial/input/error": AdversarialTraining({"": pooled}),
        "lipschitz_penalty": LipschitzPenalty(0.001),
    }


NAMES = list(measuring(Path()))


@pytest.mark.integration
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("saved", ["after validation", "after training"])
def test_whatever_is_measured_can_be_monitored_in_any_order(
    tmp_path: Path, name: str, saved: str
) -> None:
    at_end = saved == "after training"
    best = ModelCheckpoint(
        tmp_path / "best", monitor=name, mode="max", save_on_train_epoch_end=at_end
    )
    stopping = EarlyStopping(name, patience=9, check_on_train_epoch_end=at_end)
    trainer = fit(tmp_path, stopping, measuring(tmp_path)[name], best)
    assert trainer.current_epoch == 3
    assert best.best_model_score == pytest.approx(max(best.best_k_models.values()))
    assert trainer.callback_metrics[name].isfinite()
    assert stopping.best_score.isfinite()


@pytest.mark.integration
@pytest.mark.parametrize("name", NAMES[:3])
def test_validations_within_an_epoch_are_measured_for_who_monitors(
    tmp_path: Path, name: str
) -> None:
    stopping = EarlyStopping(name, patience=99)
    fit(tmp_path, stopping, measuring(tmp_path)[name], val_check_interval=0.5)
    assert stopping.best_score.isfinite()


def rows(folder: Path, series: str) -> list[dict[str, str]]:
    with next(folder.rglob("metrics.csv")).open() as file:
        found = list(csv.DictReader(file))
    return [
        {name: value for name, value in row.items() if name.startswith(series) or name == "step"}
        for row in found
        if row.get(series)
    ]


@pytest.mark.integration
@pytest.mark.parametrize("name", NAMES[:3])
def test_loggers_get_the_same_whether_it_is_monitored_or_not(tmp_path: Path, name: str) -> None:
    for folder in ("alone", "watched"):
        watching = [EarlyStopping(name, patience=9)] if folder == "watched" else []
        fit(tmp_path / folder, *watching, measuring(tmp_path / folder)[name])
    alone, watched = (rows(tmp_path / folder, name) for folder in ("alone", "watched"))
    assert len(alone) == 3
    assert alone == watched


class FindsNothing(Measuring):
    """Measures what is not known."""

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        with self.measured(trainer, When.now(trainer)):
            self.note({"distortion": math.nan, "success": 0.0})
        self.tell(trainer)


def test_a_value_that_is_not_known_is_nan_and_need_not_end_the_run(tmp_path: Path) -> None:
    stopping = EarlyStopping("finds/distortion", check_finite=False, patience=9)
    trainer = fit(tmp_path, FindsNothing("finds", tmp_path, 0), stopping)
    assert trainer.current_epoch == 3
    assert trainer.callback_metrics["finds/distortion"].isnan()
    assert trainer.callback_metrics["finds/success"] == 0


def test_each_short_epoch_has_values_of_its_own(tmp_path: Path) -> None:
    recorded = Recorded()
    fit(tmp_path, measuring(tmp_path)["adversarial/input/error"], recorded, limit_val_batches=0)
    losses = [float(epoch["adversarial/input/loss"]) for epoch in recorded.epochs]
    assert len(set(losses)) == 3
    last = recorded.epochs[-1]
    kinds = ("success", "distortion", "loss", "error", "age")
    assert {f"adversarial/input/{kind}" for kind in kinds} <= last.keys()
    assert "adversarial/generating" in last


class Compare(Callback):
    """Compares the values of the processes with those of the first."""

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        own = {k: float(v) for k, v in trainer.callback_metrics.items() if "/" in k}
        assert {name.split("/")[0] for name in own} == {
            "adversarial", "examples", "lipschitz", "transfer",
        }  # fmt: skip
        assert trainer.strategy.broadcast(own) == own


def train(folder: Path, strategy: Any, devices: int) -> None:
    """Train with all callbacks that measure: for a script of two processes."""
    callbacks = [one for name, one in measuring(folder).items() if "penalty" not in name]
    best = ModelCheckpoint(folder / "best", monitor="lipschitz/network")
    fit(folder, *callbacks, best, Compare(), strategy=strategy, devices=devices)


@pytest.mark.integration
def test_two_processes_have_the_same_values(tmp_path: Path) -> None:
    train_in(tmp_path / "two", __name__, "replicated")


@pytest.mark.parametrize("layer", ["", "net.3"])
def test_the_pass_of_swa_for_batchnorm_is_the_host_s_alone(tmp_path: Path, layer: str) -> None:
    plan = PerturbedLayer(GradientAttack(eps=0.5), pool=16, mix=4, refresh=4)
    training = AdversarialTraining({layer: plan})
    averaging = StochasticWeightAveraging(swa_lrs=0.01, swa_epoch_start=1)
    trainer = fit(tmp_path, training, averaging)
    assert training.pools.step == 18
    clean = torch.stack([batch[0] for batch in loader()]).flatten(0, 1).flatten(1)
    module = trainer.lightning_module
    means = torch.nn.functional.linear(clean, *module.net[1].parameters()).mean(0)
    torch.testing.assert_close(module.net[2].running_mean, means.detach())


def test_a_monitor_that_names_nothing_is_refused_with_the_names_near_it() -> None:
    names = ["mine/l2_0.5", "mine/l2_1.5", "mine/clean"]
    trainer = Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False,
        callbacks=[EarlyStopping("val_loss"), EarlyStopping("mine/l2_1.5")],
    )  # fmt: skip
    check_monitors(trainer, "mine/", names)
    trainer.callbacks.append(EarlyStopping("mine/l2_15"))
    with pytest.raises(UserError, match=r"'mine/l2_15', which is not measured\. Did you mean"):
        check_monitors(trainer, "mine/", names)
