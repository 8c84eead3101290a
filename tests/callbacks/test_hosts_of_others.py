"""Callbacks that look on, average, penalise or end a run, on hosts of many kinds."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import EMAWeightAveraging
from lightning.pytorch.plugins.precision import MixedPrecision
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from lit_intriguing.callbacks import (
    Convergence,
    ExactResume,
    LipschitzPenalty,
    MovingAverage,
    RunProgress,
    SparseFilters,
    TrainingError,
    UnitAnalysis,
)
from lit_intriguing.data import TensorLoader
from lit_intriguing.errors import UserError
from lit_intriguing.models import SparseAutoencoder

pytestmark = [
    pytest.mark.filterwarnings("ignore:The '.*_dataloader' does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*training_step.* returned .None."),
    pytest.mark.filterwarnings("ignore:Training ended after . evaluations"),
    pytest.mark.filterwarnings("ignore:ExactResume"),
]

N, FEATURES, CLASSES = 24, 6, 3
GENERATOR = torch.Generator().manual_seed(0)
X, Y = torch.rand(N, FEATURES, generator=GENERATOR), torch.arange(N) % CLASSES


class Host(LightningModule):
    """An ordinary classifier, with what its run needs."""

    options: ClassVar[dict[str, Any]] = {}

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Linear(FEATURES, 8), nn.BatchNorm1d(8), nn.ReLU())
        self.head = nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x))

    def loss(self, batch: Any) -> Tensor:
        return F.cross_entropy(self(batch[0]), batch[1])

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return self.loss(batch)

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.1)

    def train_dataloader(self) -> Any:
        return TensorLoader(X, Y, N)


class Prints(Host):
    def training_step(self, batch: Any, batch_idx: int) -> Any:
        self.print("a step", end="\n")
        return self.loss(batch)


class ByHand(Host):
    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False

    def training_step(self, batch: Any, batch_idx: int) -> None:
        one: Any = self.optimizers()
        one.zero_grad()
        self.manual_backward(self.loss(batch))
        one.step()


class Two(ByHand):
    """Two optimisers, and a step of each in a batch."""

    def training_step(self, batch: Any, batch_idx: int) -> None:
        several: Any = self.optimizers()
        for one in several:
            one.zero_grad()
            self.manual_backward(self.loss(batch))
            one.step()

    def configure_optimizers(self) -> Any:
        return [torch.optim.SGD(part.parameters(), 0.1) for part in (self.body, self.head)]


class Skips(Host):
    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return None if self.current_epoch == 0 else self.loss(batch)


@dataclass
class Batch:
    image: Tensor
    target: dict[str, Tensor]
    names: list[str]


class Nested(Host):
    def loss(self, batch: Batch) -> Tensor:
        return super().loss((batch.image, batch.target["label"]))

    def train_dataloader(self) -> Any:
        def collate(pairs: Any) -> Batch:
            x, y = zip(*pairs, strict=True)
            return Batch(torch.stack(x), {"label": torch.stack(y)}, ["a"] * len(x))

        return DataLoader(TensorDataset(X, Y), N, collate_fn=collate)


class Stream(IterableDataset[Any]):
    def __iter__(self) -> Iterator[Any]:
        return zip(X, Y, strict=True)


class Streams(Host):
    def train_dataloader(self) -> Any:
        return DataLoader(Stream(), N)


class Validates(Host):
    """Two validation loaders."""

    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        self.log("val", self.loss(batch))

    def val_dataloader(self) -> Any:
        return [DataLoader(TensorDataset(X, Y), N), DataLoader(TensorDataset(1 - X, Y), N)]


class Lbfgs(Host):
    def configure_optimizers(self) -> Any:
        return torch.optim.LBFGS(self.parameters(), max_iter=3)


class Mixed(Host):
    @property
    def options(self) -> dict[str, Any]:
        return {"plugins": MixedPrecision("16-mixed", "cpu", scaler=torch.amp.GradScaler("cpu"))}


class Says(Host):
    """Logs in `forward`, and returns more than logits."""

    def forward(self, x: Tensor) -> Any:
        self.log("norm", x.norm())
        return {"logits": super().forward(x), "hidden": x[:, None]}

    def loss(self, batch: Any) -> Tensor:
        return F.cross_entropy(self(batch[0])["logits"], batch[1])


class ByName(Host):
    """Takes a batch as keywords, as the tutorials of transformers write it."""

    def forward(self, **batch: Tensor) -> Tensor:
        return super().forward(batch["image"])

    def loss(self, batch: Any) -> Tensor:
        return F.cross_entropy(self(**batch), batch["label"])

    def train_dataloader(self) -> Any:
        rows = [{"image": x, "label": y} for x, y in zip(X, Y, strict=True)]
        return DataLoader(rows, N)


class Normalises(Host):
    """Scales its inputs on the device."""

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        x, y = batch
        return x.sub(0.5).mul(4), y


class NoForward(Host):
    forward = LightningModule.forward

    def loss(self, batch: Any) -> Tensor:
        return F.cross_entropy(self.head(self.body(batch[0])), batch[1])


HOSTS = {
    one.__name__: one
    for one in (
        Prints, ByHand, Two, Skips, Nested, Streams, Validates, Lbfgs, Mixed, Says, ByName,
        Normalises, NoForward,
    )
}  # fmt: skip

LOOKING_ON: dict[str, Callable[[Path], Any]] = {
    "TrainingError": lambda at: TrainingError(),
    "Convergence": lambda at: Convergence(),
    "UnitAnalysis": lambda at: UnitAnalysis(
        ["body.2"], examples=N, k=3, rotations=2, control=False, dirpath=at
    ),
    "RunProgress": lambda at: RunProgress(),
    "ExactResume": lambda at: ExactResume(),
    "SparseFilters": lambda at: SparseFilters(0.1, 0.9),
}
REFUSED = {
    ("TrainingError", "Nested"): "not on a DataLoader: use lit_intriguing.data.TensorLoader",
    ("TrainingError", "ByName"): "not on a DataLoader: use lit_intriguing.data.TensorLoader",
    ("TrainingError", "Streams"): "not on a DataLoader: use lit_intriguing.data.TensorLoader",
    ("TrainingError", "NoForward"): r"NoForward has no forward.* model=<name>",
    ("Convergence", "Two"): "follows one loss, and 2 optimisers may have one each: leave it out",
    ("Convergence", "Streams"): "an unknown number of batches .* limit_train_batches to 1",
    **{("SparseFilters", name): "SparseFilters measures a SparseAutoencoder" for name in HOSTS},
}


def fit(host: Any, *callbacks: Any, **options: Any) -> Trainer:
    settings = {
        "max_epochs": 2,
        "accelerator": "cpu",
        "logger": False,
        "enable_checkpointing": False,
        "enable_model_summary": False,
        "enable_progress_bar": any(isinstance(one, RunProgress) for one in callbacks),
    }
    run = Trainer(callbacks=list(callbacks), **{**settings, **host.options, **options})
    torch.manual_seed(3)
    run.fit(host)
    return run


def weights(host: Any) -> list[Tensor]:
    return [value.detach().clone() for value in host.state_dict().values()]


def same(one: Any, other: Any) -> bool:
    return all(map(torch.equal, weights(one), weights(other)))


@pytest.mark.integration
@pytest.mark.parametrize("host", HOSTS)
def test_who_looks_on_changes_nothing_or_is_refused_in_a_sentence(
    host: str, tmp_path: Path
) -> None:
    alone = HOSTS[host]()
    fit(alone)
    for name, make in LOOKING_ON.items():
        beside, callback = HOSTS[host](), make(tmp_path)
        if (name, host) in REFUSED:
            with pytest.raises(UserError, match=REFUSED[name, host]):
                fit(beside, callback)
            continue
        metrics = fit(beside, callback).callback_metrics
        assert same(alone, beside), name
        wanted = {"UnitAnalysis": "units/body.2/effect", "Convergence": "convergence/loss"}
        assert wanted.get(name, name) in {*metrics, name}
        assert name != "TrainingError" or 0 <= callback.errors["train/error"] <= 1


def test_the_ways_out_work(tmp_path: Path) -> None:
    fit(Streams(), Convergence(), limit_train_batches=1)

    class Named(NoForward):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Sequential(self.body, self.head)

    callbacks = [
        TrainingError(model="net"),
        UnitAnalysis(
            ["body.2"], examples=N, k=3, rotations=2, control=False, dirpath=tmp_path, model="net"
        ),
    ]
    assert "units/body.2/effect" in fit(Named(), *callbacks).callback_metrics
    assert callbacks[0].errors


@pytest.mark.parametrize("host", HOSTS)
def test_a_penalty_is_added_or_refused(host: str) -> None:
    alone, beside = HOSTS[host](), HOSTS[host]()
    if host in ("ByHand", "Two"):
        with pytest.raises(UserError, match=r"manual optimisation does not use: add .*PowerIter"):
            fit(beside, LipschitzPenalty(0.1))
        return
    fit(alone)
    metrics = fit(beside, LipschitzPenalty(0.1)).callback_metrics
    assert 0 < metrics["lipschitz_penalty"] < 10
    assert not same(alone, beside)
    assert all(value.isfinite().all() for value in weights(beside))


@pytest.mark.parametrize("host", HOSTS)
def test_an_average_follows_training_on_every_host(host: str) -> None:
    """Against Lightning's own, which has the same decay from its second update on."""
    averaged, wanted = HOSTS[host](), HOSTS[host]()
    fit(averaged, MovingAverage(2 / 11), max_epochs=3)  # of which (1 + n) / (10 + n) takes nothing
    fit(wanted, EMAWeightAveraging(decay=2 / 11, use_buffers=True), max_epochs=3)
    for found, right in zip(averaged.parameters(), wanted.parameters(), strict=True):
        torch.testing.assert_close(found, right)


@pytest.mark.parametrize("every", [2, 3])
def test_an_average_is_taken_where_a_batch_has_several_steps(every: int) -> None:
    averaged, alone = Two(), Two()
    fit(averaged, MovingAverage(0.0, every_n_steps=every), max_epochs=4)
    fit(alone, max_epochs=4 if every == 2 else 3)
    for found, right in zip(averaged.parameters(), alone.parameters(), strict=True):
        torch.testing.assert_close(found, right)


def test_an_average_begins_anew_in_another_run() -> None:
    callback = MovingAverage(0.0)
    fit(Host(), callback, max_epochs=5)
    averaged, alone = Host(), Host()
    fit(averaged, callback)
    fit(alone)
    assert all(map(torch.equal, averaged.parameters(), alone.parameters()))


def test_the_loss_that_convergence_follows_has_no_scale() -> None:
    plain, scaled = Host(), Mixed()
    wanted = fit(plain, Convergence()).callback_metrics
    found = fit(scaled, Convergence()).callback_metrics
    for key, value in wanted.items():
        torch.testing.assert_close(found[key], value, rtol=2e-2, atol=1e-3)


def test_the_training_error_is_of_what_the_hooks_make_in_a_validation() -> None:
    host, measured = Normalises(), TrainingError()
    fit(host, measured, max_epochs=20)
    host.eval()
    wrong = host(X.sub(0.5).mul(4)).argmax(1) != Y
    assert measured.errors["train/error"] == pytest.approx(float(wrong.float().mean()))


@pytest.mark.parametrize("host", [Two, ByHand, Host])
def test_a_run_by_steps_ends_at_a_hundred_per_cent(
    host: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    fit(host(), RunProgress(1e-9), max_epochs=-1, max_steps=12)
    lines = re.findall(r"Run: +(\d+)% (\d+)/(\d+)", capsys.readouterr().err)
    batches = "6" if host is Two else "12"
    assert lines[-1] == ("100", batches, batches)


def test_filters_of_a_module_that_logs_no_activation_are_refused() -> None:
    class Quiet(SparseAutoencoder):
        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            return self(batch[0]).square().mean()

        validation_step = LightningModule.validation_step

    host = Quiet()
    host.options = {}
    pixels = torch.rand(4, host.filters.shape[1])
    host.train_dataloader = lambda: TensorLoader(pixels, torch.zeros(4).long(), 4)
    with pytest.raises(UserError, match=r"finds no 'train/activation' .*: let the module log it"):
        fit(host, SparseFilters(0.1, 0.9))
