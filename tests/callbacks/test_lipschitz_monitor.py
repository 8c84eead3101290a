"""LipschitzMonitor: no trace on the run, network_norm's numbers, infinity where none is known."""

import csv
import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger, WandbLogger
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from lit_intriguing.callbacks import LipschitzMonitor
from lit_intriguing.callbacks.lipschitz_monitor import upwards
from lit_intriguing.errors import UserError
from lit_intriguing.lipschitz.network import network_norm
from tests.callbacks.test_lipschitz_penalty import (
    SHAPES,
    Host,
    LineSearch,
    dense_norm,
    fit,
    loader,
    weights,
)

CHART = "lit_intriguing.callbacks.lipschitz_monitor.bar_chart"


@pytest.fixture(autouse=True)
def _chart_that_takes_no_time(request: pytest.FixtureRequest, monkeypatch: Any) -> None:
    if "drawn" not in request.node.name:
        from lit_intriguing.figures.canvas import new_figure

        monkeypatch.setattr(CHART, lambda *args, **options: new_figure(1, 1))


class ByHand(Host):
    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False

    def training_step(self, batch: Any, batch_idx: int) -> None:
        optimizer = self.optimizers()
        optimizer.zero_grad()
        self.manual_backward(F.cross_entropy(self(batch[0]), batch[1]))
        optimizer.step()


class Compiled(Host):
    def __init__(self) -> None:
        super().__init__()
        self.net = torch.compile(self.net, backend="eager")


class Configured(Host):
    """Its layers are made late; dropout and a normalisation in training mode, one frozen."""

    def __init__(self) -> None:
        super().__init__()
        self.net = None

    def configure_model(self) -> None:
        if self.net is None:
            torch.manual_seed(0)
            self.net = nn.Sequential(
                nn.Conv2d(1, 3, 3, stride=2, padding=2), nn.BatchNorm2d(3), nn.Dropout(0.2),
                nn.Flatten(), nn.Linear(48, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 4),
            )  # fmt: skip
            self.net[5].eval()


SITUATIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "accumulation": {"accumulate_grad_batches": 2},
    "bf16": {"precision": "bf16-mixed"},
    "by hand": {"host": ByHand},
    "closures": {"host": LineSearch},
    "compiled": {"host": Compiled},
    "configured": {"host": Configured},
}


def run(folder: Path, *callbacks: Callback, **options: Any) -> dict[str, Any]:
    """Six batches an epoch, two epochs; what the run ends with."""
    host = options.pop("host", Host)()
    for seed in (random.seed, np.random.seed, torch.manual_seed):
        seed(7)
    settings = {
        "max_epochs": 2,
        "max_steps": -1,
        "logger": CSVLogger(folder),
        "log_every_n_steps": 1,
    }
    trainer = fit(host, *callbacks, **{**settings, "data": loader(shuffle=True, seed=1), **options})
    optimizer = trainer.optimizers[0].state_dict()["state"] if trainer.optimizers else {}
    randomness = random.random(), np.random.rand(), torch.rand(3)
    return {"host": host, "trainer": trainer, "optimizer": optimizer, "randomness": randomness}


def lines_of(folder: Path) -> list[dict[str, str]]:
    with next(folder.rglob("metrics.csv")).open() as file:
        return list(csv.DictReader(file))


def logged(folder: Path, name: str) -> dict[int, float]:
    """A series by the steps taken; loggers count them from 0."""
    return {int(x["step"]) + 1: float(x[name]) for x in lines_of(folder) if x.get(name)}


@pytest.mark.integration
@pytest.mark.filterwarnings("ignore:Found 1 module")
@pytest.mark.parametrize("kind", SITUATIONS)
def test_a_run_is_bit_for_bit_the_same_with_and_without(kind: str, tmp_path: Path) -> None:
    without = run(tmp_path / "without", **SITUATIONS[kind])
    monitor = LipschitzMonitor(every_n_steps=1)
    with_it = run(tmp_path / "with", monitor, **SITUATIONS[kind])
    assert monitor.certified is not None
    assert monitor.certified.norm.finite
    assert len(logged(tmp_path / "with", "lipschitz/network_estimate")) >= 5 - (kind == "closures")
    for one, other in zip(
        without["host"].state_dict().items(), with_it["host"].state_dict().items(), strict=True
    ):
        assert one[0] == other[0]
        assert torch.equal(one[1], other[1])
    assert str(without["optimizer"]) == str(with_it["optimizer"])
    assert str(without["randomness"]) == str(with_it["randomness"])
    for one, other in zip(without["host"].modules(), with_it["host"].modules(), strict=True):
        assert one.training == other.training
        assert not other._forward_hooks
        assert not other._forward_pre_hooks
    assert "training_step" not in vars(with_it["trainer"].strategy)


def test_an_epoch_ends_with_the_bounds_of_network_norm_rounded_upwards(tmp_path: Path) -> None:
    host = run(tmp_path, LipschitzMonitor(every_n_steps=4))["host"]
    true = network_norm(host, (1, 6, 6))
    assert true.product.finite
    for name, norm in [*((x.name, x.norm) for x in true.layers), ("network", true.product)]:
        series = logged(tmp_path, f"lipschitz/{name}")
        assert set(series) == {6, 12}
        assert series[12] == upwards(norm.value) >= norm.value
    for name, shape in SHAPES.items():
        dense = dense_norm(host.get_submodule(name), shape).item()
        assert dense * (1 - 1e-6) <= logged(tmp_path, f"lipschitz/{name}")[12] <= dense * 1.01


def test_estimates_follow_the_norms_within_an_epoch(tmp_path: Path) -> None:
    kept: dict[int, dict[str, Tensor]] = {}

    class Keep(Callback):
        def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, index: int) -> None:
            norms = {n: dense_norm(module.get_submodule(n), s) for n, s in SHAPES.items()}
            kept[trainer.global_step] = norms

        def on_train_end(self, trainer: Any, module: Any) -> None:
            self.on_train_batch_start(trainer, module, None, 0)

    run(tmp_path, LipschitzMonitor(every_n_steps=2), Keep(), max_epochs=4)
    for name in SHAPES:
        series = logged(tmp_path, f"lipschitz/{name}_estimate")
        assert set(series) == set(range(2, 25, 2))
        for step, value in series.items():
            true = kept[step][name].item()
            assert 0.98 * true < value <= true * (1 + 1e-5)
    network = logged(tmp_path, "lipschitz/network_estimate")
    for step, value in network.items():
        assert value == pytest.approx(math.prod(kept[step].values()).item(), rel=0.03)


def test_a_table_and_a_chart_drawn_go_to_the_runs_folder(tmp_path: Path) -> None:
    run(tmp_path, LipschitzMonitor(), max_epochs=1)
    (chart,) = tmp_path.rglob("lipschitz/step-00000006.png")
    assert chart.read_bytes().startswith(b"\x89PNG")
    (table,) = tmp_path.rglob("lipschitz/step-00000006.csv")
    with table.open() as file:
        rows = list(csv.DictReader(file))
    assert [row["layer"] for row in rows if row["type"] in ("Conv2d", "Linear")] == list(SHAPES)
    assert rows[-1]["layer"] == "network"
    assert all(math.isfinite(float(row["norm"])) for row in rows)


class Unknown(Host):
    """One layer that nobody has a rule for."""

    def __init__(self) -> None:
        super().__init__()
        self.net[4] = Doubles()


class Doubles(nn.Module):
    """A value of its own decides the way: no graph."""

    def forward(self, x: Tensor) -> Tensor:
        return 2 * x if x.sum() > 0 else x


def test_what_cannot_be_bounded_is_infinite_and_named_once_and_training_goes_on(
    tmp_path: Path,
) -> None:
    with pytest.warns(UserWarning, match="logs infinity") as caught:
        outcome = run(tmp_path, LipschitzMonitor(every_n_steps=3), host=Unknown)
    told = [str(one.message) for one in caught if "LipschitzMonitor" in str(one.message)]
    assert len(told) == 1
    assert "net.4" in told[0]
    assert outcome["trainer"].global_step == 12
    assert set(logged(tmp_path, "lipschitz/network").values()) == {math.inf}
    assert set(logged(tmp_path, "lipschitz/network_estimate").values()) == {math.inf}
    for name in ("net.3", "net.5"):
        assert all(map(math.isfinite, logged(tmp_path, f"lipschitz/{name}").values()))


@pytest.mark.filterwarnings("ignore:LipschitzMonitor knows no bound")
def test_tensorboard_takes_numbers_infinity_figure_and_table(tmp_path: Path) -> None:
    event_accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator"
    )
    run(tmp_path, LipschitzMonitor(3), host=Unknown, logger=TensorBoardLogger(tmp_path))
    (events,) = tmp_path.rglob("events.*")
    found = event_accumulator.EventAccumulator(str(events.parent))
    found.Reload()
    assert [x.value for x in found.Scalars("lipschitz/network")] == [math.inf] * 2
    assert len(found.Scalars("lipschitz/net.3_estimate")) == 4
    assert "lipschitz/figure" in found.Tags()["images"]
    assert any("lipschitz/table" in tag for tag in found.Tags()["tensors"])


@pytest.mark.filterwarnings("ignore:LipschitzMonitor knows no bound")
def test_wandb_takes_infinity_offline(tmp_path: Path) -> None:
    logger = WandbLogger(save_dir=tmp_path, offline=True)
    run(tmp_path, LipschitzMonitor(3), host=Unknown, logger=logger)
    value = dict(logger.experiment.summary)["lipschitz/network"]
    import wandb

    wandb.finish()
    wandb.teardown()
    assert float(value) == math.inf


def test_only_layers_asked_for_are_logged_and_the_network_in_any_case(tmp_path: Path) -> None:
    run(tmp_path, LipschitzMonitor(3, ["net.3", "net.1"]), max_epochs=1)
    columns = {x for line in lines_of(tmp_path) for x in line if x.startswith("lipschitz")}
    assert columns == {
        "lipschitz/net.1", "lipschitz/net.3", "lipschitz/net.3_estimate",
        "lipschitz/network", "lipschitz/network_estimate",
        "lipschitz/seconds", "lipschitz/estimate_seconds",
    }  # fmt: skip
    assert logged(tmp_path, "lipschitz/net.1") == {6: 1.0}


def test_a_submodule_can_be_bounded_in_place_of_the_module(tmp_path: Path) -> None:
    run(tmp_path / "whole", LipschitzMonitor(3), max_epochs=1)
    run(tmp_path / "part", LipschitzMonitor(3, model="net"), max_epochs=1)
    whole, part = (lines_of(tmp_path / name) for name in ("whole", "part"))
    for line in (*whole, *part):
        for name in ("seconds", "estimate_seconds"):
            line.pop(f"lipschitz/{name}")
    assert whole == part
    with pytest.raises(UserError, match=r"'net\.3' is not inside 'net\.0'"):
        run(tmp_path / "bad", LipschitzMonitor(3, ["net.3"], model="net.0"))


class Mapped(Host):
    def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        return {"index": batch[1], "weight": torch.ones(len(batch[1])), "image": batch[0]}

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return F.cross_entropy(self(batch["image"]), batch["index"])


def test_the_inputs_shape_is_found_in_any_batch_or_given(tmp_path: Path) -> None:
    options: list[dict[str, Any]] = [{}, {"inputs": "image"}, {"input_shape": (1, 6, 6)}]
    for number, option in enumerate(options):
        monitor = LipschitzMonitor(**option)
        run(tmp_path / str(number), monitor, host=Mapped, max_epochs=1)
        assert monitor.certified is not None
        assert monitor.certified.layers[0].input_shape == (1, 6, 6)
    with pytest.raises(UserError, match="finds no inputs in the batch at 'picture'"):
        run(tmp_path / "bad", LipschitzMonitor(inputs="picture"), host=Mapped)
    with pytest.raises(UserError, match="finds no inputs in the batch at 'index'"):
        run(tmp_path / "bad", LipschitzMonitor(inputs="index"), host=Mapped)


def test_bounds_are_certified_at_the_chosen_epochs_and_at_the_end(tmp_path: Path) -> None:
    run(tmp_path, LipschitzMonitor(certify_every_n_epochs=2), max_epochs=3)
    assert set(logged(tmp_path, "lipschitz/network")) == {12, 18}


def test_a_trial_run_measures_and_leaves_no_file(tmp_path: Path) -> None:
    monitor = LipschitzMonitor(1, dirpath=tmp_path)
    run(tmp_path, monitor, fast_dev_run=2)
    assert monitor.certified is not None
    assert not list(tmp_path.rglob("step-*"))


def test_a_second_fit_goes_on_logging(tmp_path: Path) -> None:
    outcome = run(tmp_path, LipschitzMonitor(4), max_epochs=1)
    outcome["trainer"].fit_loop.max_epochs = 2
    outcome["trainer"].fit(outcome["host"], loader())
    assert set(logged(tmp_path, "lipschitz/network")) == {6, 12}


@pytest.mark.filterwarnings("ignore:The dirpath has changed")
@pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty")
def test_a_resumed_run_trains_as_an_uninterrupted_one(tmp_path: Path) -> None:
    def part(folder: Path, steps: int, resume: str | None = None) -> Tensor:
        host = Host()
        keep = ModelCheckpoint(folder, every_n_train_steps=4, save_top_k=-1, filename="{step}")
        options = {"max_epochs": -1, "enable_checkpointing": True, "resume": resume}
        options |= {
            "logger": CSVLogger(folder),
            "log_every_n_steps": 1,
            "data": loader(shuffle=True, seed=3),
        }
        fit(host, LipschitzMonitor(2), keep, max_steps=steps, **options)
        return weights(host)

    whole = part(tmp_path / "whole", 15)
    part(tmp_path / "killed", 9)
    assert torch.equal(whole, part(tmp_path / "go", 15, str(tmp_path / "killed" / "step=8.ckpt")))


def test_a_failure_costs_one_warning_and_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*args: Any, **options: Any) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr("lit_intriguing.callbacks.lipschitz_monitor.network_norm", fails)
    with pytest.warns(UserWarning, match="measured nothing after 1 steps: RuntimeError: out of"):
        outcome = run(tmp_path, LipschitzMonitor(1))
    assert outcome["trainer"].global_step == 12


def test_weights_that_are_no_numbers_are_infinite(tmp_path: Path) -> None:
    class Broken(Host):
        def __init__(self) -> None:
            super().__init__()
            with torch.no_grad():
                self.net[5].weight[0, 0] = math.nan

    with pytest.warns(UserWarning, match=r"no bound of .*net\.5.*NaN"):
        run(tmp_path, LipschitzMonitor(), host=Broken, max_epochs=1)
    assert logged(tmp_path, "lipschitz/net.5") == {6: math.inf}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"every_n_steps": 0}, "every_n_steps must be at least 1, not 0"),
        ({"certify_every_n_epochs": 0}, "certify_every_n_epochs must be at least 1"),
        ({"layers": "net.0"}, "list of names"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LipschitzMonitor(**options)


def test_unknown_layers_are_named_before_training(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no layer 'net\.9'"):
        run(tmp_path, LipschitzMonitor(layers=["net.9"]))


def test_rounding_upwards_is_never_below_and_at_most_one_float32_above() -> None:
    generator = np.random.default_rng(0)
    for value in (*generator.lognormal(0, 20, 200).tolist(), 0.0, 1e-300, 1e300, math.inf):
        rounded = upwards(value)
        assert value <= rounded == np.float32(rounded)
        below = float(np.nextafter(np.float32(rounded), np.float32(-1)))
        assert below < value or rounded in (0, np.finfo(np.float32).tiny)
