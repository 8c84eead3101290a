"""FullyShard: modules that know nothing of it train on their parts as on the whole."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.distributed as dist
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.strategies import Strategy

from lit_intriguing.attacks import GradientAttack, SecondLikeliest
from lit_intriguing.callbacks import (
    AdversarialExamples,
    AdversarialTraining,
    FullyShard,
    LipschitzMonitor,
    MovingAverage,
    PerturbedLayer,
    TransferEvaluation,
    UnitAnalysis,
)
from lit_intriguing.errors import UserError
from tests.callbacks.scripts import alone, train_in
from tests.callbacks.test_adversarial_training_distributed import Host, Record, weights_of

ROWS_OF_ALL = 12

pytestmark = pytest.mark.usefixtures("no_group_left")


class PlainHost(Host):
    """The same module, which does not shard itself."""

    configure_model = LightningModule.configure_model


class Losses(Callback):
    """Writes the mean loss over the processes of each step, and the last measures."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.losses = folder, list[float]()

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, *_: Any) -> None:
        loss = outputs["loss"].detach().clone()
        if dist.is_initialized():
            dist.all_reduce(loss)
        self.losses.append(float(loss) / trainer.world_size)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.is_global_zero:
            metrics = {k: float(v) for k, v in trainer.callback_metrics.items()}
            kept = {k: v for k, v in metrics.items() if k.startswith(("lipschitz/", "hidden/"))}
            text = json.dumps({"losses": self.losses, "measured": kept})
            (self.folder / "losses.json").write_text(text)


def deterministic(processes: int) -> AdversarialTraining:
    """Every example of a step's rows is made, stored and joined: the sums are those of one."""
    rows = ROWS_OF_ALL // processes
    options: Any = {"pool": rows, "mix": rows, "refresh": rows, "goal": SecondLikeliest()}
    attack = GradientAttack(0.3)
    layers = {
        "": PerturbedLayer(attack, weight=2.0, **options),
        "net.0": PerturbedLayer(attack, at_layer=True, **options),
        "net.2": PerturbedLayer(attack, stale=False, **options),
    }
    return AdversarialTraining(layers)


def train(folder: Path, strategy: Strategy | str, devices: int) -> None:
    attack = GradientAttack(0.5)
    measuring: list[Callback] = [
        AdversarialExamples(attack, examples=4, layer="net.0", name="hidden", every_n_steps=3),
        TransferEvaluation(attack, {"other": Host().net}, examples=4, every_n_steps=3),
        LipschitzMonitor(every_n_steps=3),
    ]
    trainer = Trainer(
        accelerator="cpu", devices=devices, strategy=strategy, max_steps=6, logger=False,
        callbacks=[
            FullyShard(), deterministic(devices), *measuring, Losses(folder), Record(folder)
        ],
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        use_distributed_sampler=False, default_root_dir=folder,
    )  # fmt: skip
    trainer.fit(PlainHost())


def trained(folder: Path, kind: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        (train_in(folder, __name__, kind) / "losses.json").read_text()
    )
    assert len(found["losses"]) == 6
    return found


@pytest.mark.integration
def test_attacks_on_sharded_layers_give_the_losses_and_measures_of_one_process(
    tmp_path: Path,
) -> None:
    one = trained(tmp_path / "one", "one process")
    assert {"lipschitz/net.0", "hidden/success"} <= one["measured"].keys()
    sharded = trained(tmp_path / "sharded", "sharded")
    assert sharded["losses"] == pytest.approx(one["losses"], rel=1e-5)
    # The examples that are measured are those of the first process, which has other batches.
    # The joint bound is searched for, from weights that differ in the last bits.
    bounds = {k: v for k, v in one["measured"].items() if k.startswith("lipschitz/")}
    assert {k: sharded["measured"][k] for k in bounds} == pytest.approx(bounds, rel=1e-3)
    assert sharded["measured"].keys() == one["measured"].keys()
    weights = [weights_of(tmp_path / kind, 0) for kind in ("sharded", "one")]
    torch.testing.assert_close(*weights, rtol=1e-5, atol=1e-6)


def test_under_other_strategies_nothing_happens() -> None:
    module = PlainHost()
    trainer: Any = SimpleNamespace(strategy=None)
    callback = FullyShard()
    callback.setup(trainer, module, "fit")
    assert "configure_model" not in vars(module)


def fit_alone(callback: Callback | None, sharding: FullyShard, folder: Path) -> LightningModule:
    """Train on one process that shards over itself."""
    from lightning.pytorch.strategies import ModelParallelStrategy

    module = PlainHost()
    strategy = ModelParallelStrategy(data_parallel_size=1, tensor_parallel_size=1)
    with alone():
        Trainer(
            accelerator="cpu", devices=1, strategy=strategy, max_steps=1, logger=False,
            callbacks=[sharding, *([callback] if callback else [])], enable_checkpointing=False,
            enable_progress_bar=False, enable_model_summary=False, use_distributed_sampler=False,
            default_root_dir=folder,
        ).fit(module)  # fmt: skip
    return module


# A group of processes in this process: gloo's threads make a later fork hang, so these are slow.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("callback", "words"),
    [
        (MovingAverage(), "MovingAverage needs all weights on each process.* use ddp, or leave"),
        (UnitAnalysis(["net.0"]), r"no untrained control.* leave the control out \(control=False"),
    ],
    ids=["MovingAverage", "UnitAnalysis"],
)
def test_what_cannot_be_of_sharded_weights_is_refused_before_training(
    callback: Callback, words: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=words):
        fit_alone(callback, FullyShard(), tmp_path)


@pytest.mark.slow
def test_the_named_layers_are_sharded_and_the_module_is_left_as_it_was(tmp_path: Path) -> None:
    module = fit_alone(None, FullyShard(["net.0"]), tmp_path)
    kinds = {name: type(one).__name__ for name, one in module.named_modules()}
    assert kinds["net.0"] == "FSDPLinear"
    assert kinds["net.2"] == "Linear"
    assert kinds[""] == "FSDPPlainHost"
    assert "configure_model" not in vars(module)


@pytest.mark.slow
def test_an_unknown_layer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"net\.9"):
        fit_alone(None, FullyShard(["net.9"]), tmp_path)
