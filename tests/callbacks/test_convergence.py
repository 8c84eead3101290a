"""Full-batch training to convergence: against SciPy, its three ends, and resuming."""

import csv
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from scipy.optimize import minimize
from torch import Tensor, nn

from lit_intriguing.callbacks import Convergence, RunProgress
from lit_intriguing.errors import UserError
from lit_intriguing.models import Classifier
from tests.callbacks.full_batch import (
    CLASSES,
    FEATURES,
    Blobs,
    lbfgs,
    objective,
    softmax_regression,
    trainer,
)


class Evaluations(Callback):
    """Counts the calls of the closure in another way, and keeps the losses."""

    def __init__(self) -> None:
        self.losses: list[float] = []

    def on_before_backward(self, trainer: Any, pl_module: Any, loss: Tensor) -> None:
        self.losses.append(float(loss.detach()))


class CrashError(Exception):
    pass


class CrashAt(Callback):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_start(self, trainer: Any, *args: Any) -> None:
        if trainer.global_step == self.step:
            raise CrashError


def scipy_minimum() -> float:
    def value_and_gradient(flat: np.ndarray) -> tuple[float, np.ndarray]:
        point = torch.from_numpy(flat).clone().requires_grad_()
        weight, bias = point.split([CLASSES * FEATURES, CLASSES])
        loss = objective(weight.view(CLASSES, FEATURES), bias)
        (gradient,) = torch.autograd.grad(loss, point)
        return float(loss.detach()), gradient.numpy()

    options = {"maxiter": 10_000, "maxfun": 100_000, "ftol": 1e-15, "gtol": 1e-9}
    start = np.zeros(CLASSES * FEATURES + CLASSES)
    found = minimize(value_and_gradient, start, jac=True, method="L-BFGS-B", options=options)
    return float(found.fun)


def test_in_float64_softmax_regression_reaches_the_loss_of_scipy_within_a_millionth() -> None:
    model, stop = softmax_regression(), Convergence(decrease=1e-9, window=20)
    trainer(stop, precision="64-true").fit(model, datamodule=Blobs())
    with torch.no_grad():
        ours = float(objective(model.output.weight, model.output.bias))
    assert model.output.weight.dtype == torch.float64
    assert ours == pytest.approx(scipy_minimum(), rel=1e-6)


def test_it_stops_when_the_lowest_loss_hardly_falls_and_says_so(
    capsys: pytest.CaptureFixture[str],
) -> None:
    counted, stop = Evaluations(), Convergence(decrease=1e-4, window=10)
    trainer(counted, stop).fit(softmax_regression(), datamodule=Blobs())
    lowest = np.minimum.accumulate(counted.losses)
    assert (lowest[-11] - lowest[-1]) / lowest[-11] < 1e-4
    assert (lowest[-24] - lowest[-14]) / lowest[-24] >= 1e-4
    found = re.search(r"converged after (\d+) evaluations, loss ([\d.]+): it fell by", stop.outcome)
    assert int(found[1]) == len(counted.losses)
    assert float(found[2]) == pytest.approx(lowest[-1], rel=1e-5)
    assert stop.outcome in capsys.readouterr().out


def test_it_stops_when_the_gradient_vanishes_and_says_so() -> None:
    model, stop = softmax_regression(), Convergence(decrease=0, gradient=1e-3, window=1000)
    trainer(stop).fit(model, datamodule=Blobs())
    assert "largest element of the gradient" in stop.outcome
    weight, bias = (p.detach().double().requires_grad_() for p in model.output.parameters())
    gradients = torch.autograd.grad(objective(weight, bias), (weight, bias))
    assert 1e-6 < max(float(g.abs().max()) for g in gradients) <= 1e-3


def test_it_stops_after_the_step_in_which_the_evaluations_run_out_and_says_so() -> None:
    counted, stop = Evaluations(), Convergence(decrease=0, evaluations=12)
    model = softmax_regression(optimizer=lambda p: lbfgs(p, max_iter=5, max_eval=7))
    trainer(counted, stop).fit(model, datamodule=Blobs())
    assert 12 <= len(counted.losses) < 12 + 7
    assert stop.outcome.startswith(f"stopped after {len(counted.losses)} evaluations, loss ")
    assert "at most 12 were asked for" in stop.outcome


def test_it_warns_where_the_run_ends_before() -> None:
    stop = Convergence(decrease=0)
    with pytest.warns(UserWarning, match=r"ended after \d+ evaluations, before it converged"):
        trainer(stop, max_epochs=2).fit(softmax_regression(), datamodule=Blobs())
    assert stop.outcome is None


def test_loss_gradient_and_evaluations_are_logged_after_each_step(tmp_path: Path) -> None:
    counted, stop = Evaluations(), Convergence(decrease=1e-4, window=10)
    logger = CSVLogger(tmp_path, name="", version="")
    trainer(counted, stop, logger=logger).fit(softmax_regression(), datamodule=Blobs())
    with (tmp_path / "metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["convergence/evaluations"]]
    assert len(rows) > 2
    counts = [int(float(row["convergence/evaluations"])) for row in rows]
    assert counts[-1] == len(counted.losses)
    lowest = np.minimum.accumulate(counted.losses)
    assert [float(row["convergence/loss"]) for row in rows] == pytest.approx(
        [lowest[count - 1] for count in counts]
    )
    slopes = [float(row["convergence/gradient"]) for row in rows]
    assert 0 < slopes[-1] < slopes[0] / 10


def test_the_bar_over_the_run_counts_steps(capsys: pytest.CaptureFixture[str]) -> None:
    options = {"max_epochs": 4, "enable_progress_bar": True}
    stop = Convergence(decrease=0, evaluations=10)
    trainer(stop, RunProgress(), **options).fit(softmax_regression(), datamodule=Blobs())
    assert re.search(r"Run: +\d+% \d/4 .*convergence/evaluations=\d", capsys.readouterr().err)


def network() -> Classifier:
    torch.manual_seed(0)
    return Classifier((FEATURES, 5, CLASSES), activation=nn.Sigmoid, optimizer=lbfgs, decay=1e-4)


def train(folder: Path, *more: Callback, resume: Path | None = None) -> tuple[Tensor, Convergence]:
    model, stop = network(), Convergence(decrease=0, evaluations=40)
    saving = ModelCheckpoint(folder, save_last=True)
    run = trainer(stop, saving, *more, folder=folder)
    run.fit(model, datamodule=Blobs(), ckpt_path=resume, weights_only=True if resume else None)
    return torch.cat([p.detach().flatten() for p in model.parameters()]), stop


@pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty")
@pytest.mark.parametrize("step", [1, 3])
def test_killed_and_resumed_is_bit_identical(tmp_path: Path, step: int) -> None:
    whole, ended = train(tmp_path / "whole")
    with pytest.raises(CrashError):
        train(tmp_path / "killed", CrashAt(step))
    weights, outcome = train(tmp_path / "killed", resume=tmp_path / "killed" / "last.ckpt")
    assert torch.equal(weights, whole)
    assert outcome.outcome == ended.outcome
    assert outcome.state_dict() == ended.state_dict()


def test_it_only_measures() -> None:
    weights = []
    for callbacks in ([Convergence(decrease=0, evaluations=10**6)], []):
        model = network()
        options = {"max_epochs": 3}
        if callbacks:
            with pytest.warns(UserWarning, match="before it converged"):
                trainer(*callbacks, **options).fit(model, datamodule=Blobs())
        else:
            trainer(**options).fit(model, datamodule=Blobs())
        weights.append((*(p.detach() for p in model.parameters()), torch.get_rng_state()))
    assert all(torch.equal(a, b) for a, b in zip(*weights, strict=True))


def test_steps_that_see_a_part_of_the_data_are_refused() -> None:
    with pytest.raises(UserError, match=r"an epoch has 3 batches .* set the data's batch_size"):
        trainer(Convergence()).fit(softmax_regression(), datamodule=Blobs(batch_size=40))


def test_accumulated_steps_are_refused() -> None:
    with pytest.raises(UserError, match="accumulate_grad_batches 2"):
        trainer(Convergence(), accumulate_grad_batches=2).fit(
            softmax_regression(), datamodule=Blobs()
        )


def test_several_processes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    run = trainer()
    monkeypatch.setattr(type(run), "world_size", 2)
    with pytest.raises(UserError, match="runs in one process, not in 2: set the trainer's devices"):
        Convergence().on_train_start(run, softmax_regression())


def test_a_loss_that_is_not_finite_ends_the_run_with_its_cause() -> None:
    model = softmax_regression()
    model.output.weight.data.fill_(float("nan"))
    with pytest.raises(UserError, match=r"the loss is nan after 0 evaluations: check the data"):
        trainer(Convergence()).fit(model, datamodule=Blobs())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"decrease": 1.0}, "decrease is a share from 0 to below 1, not 1.0"),
        ({"decrease": -1e-3}, "decrease is a share"),
        ({"window": 0}, "window and evaluations are at least 1, not 0, 1500"),
        ({"evaluations": 0}, "at least 1, not 50, 0"),
        ({"gradient": -1.0}, "gradient must not be negative, nor -1.0"),
        ({"gradient": float("nan")}, "gradient must not be negative, nor nan"),
    ],
)
def test_numbers_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        Convergence(**options)
