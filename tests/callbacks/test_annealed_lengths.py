"""Lengths that change along a straight line over the run."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from torch.utils.data import DataLoader, IterableDataset

from lit_intriguing.attacks import Attack, BoxLBFGS, GradientAttack, HostLoss
from lit_intriguing.callbacks import AdversarialTraining, PerturbedLayer
from lit_intriguing.data import TensorLoader
from lit_intriguing.errors import UserError
from tests.callbacks.test_adversarial_training import FEATURES, Host, N, data, plan, run, trainer

STEPS = 8


class Lengths(Callback):
    """Keeps the mean length of the new perturbations, step by step."""

    def __init__(self) -> None:
        self.found: list[float] = []

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        logged = trainer.callback_metrics
        (distortion,) = (float(logged[one]) for one in logged if one.endswith("/distortion"))
        self.found.append(distortion)


def lengths(
    layer: str = "",
    attack: Attack | None = None,
    **options: Any,
) -> list[float]:
    torch.manual_seed(0)
    one = PerturbedLayer(attack or GradientAttack(0.2), pool=N, mix=N, refresh=N, **options)
    watch = Lengths()
    callbacks = AdversarialTraining({layer: one}), watch
    fit = trainer(*callbacks, log_every_n_steps=1, max_steps=STEPS)
    fit.fit(Host(), TensorLoader(*data(rows=N * 4), N))
    units = 5 if layer else FEATURES
    return [length * units**0.5 for length in watch.found]


@pytest.mark.parametrize("share", [0.25, 1.0, 2.0])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"goal": HostLoss()},
        {"attack": GradientAttack(0.2, steps=3, step_size=0.2)},
        {"attack": GradientAttack(0.2, steps=3, step_size=0.2), "goal": HostLoss()},
    ],
    ids=["classes", "loss", "many steps", "many steps of the loss"],
)
def test_lengths_go_along_a_straight_line_from_the_attacks_own(
    share: float, options: dict[str, Any]
) -> None:
    found = lengths(**options, anneal_to=share)
    wanted = [0.2 * (1 + (share - 1) * step / STEPS) for step in range(STEPS)]
    assert found == pytest.approx(wanted, rel=1e-3)


def test_lengths_of_a_hidden_layer_and_in_units_of_the_norm_go_along_it_too() -> None:
    hidden = lengths("net.1", stale=False, anneal_to=0.5)
    assert hidden == pytest.approx([0.2 * (1 - 0.5 * k / STEPS) for k in range(STEPS)], rel=1e-3)
    x = data(rows=N * 4)[0].view(4, N, FEATURES)
    means = x.norm(dim=2).mean(1).tolist()
    of_norm = lengths(relative="example", anneal_to=0.5)
    assert of_norm == pytest.approx([one * means[k % 4] for k, one in enumerate(hidden)], rel=1e-3)


@pytest.mark.filterwarnings("ignore:.*examples have a zero or non-finite gradient")
def test_the_greatest_length_of_a_search_goes_along_it() -> None:
    kept = lengths(attack=BoxLBFGS(), max_length=1e-3)
    found = lengths(attack=BoxLBFGS(), max_length=1e-3, anneal_to=0.5)
    assert kept == pytest.approx([1e-3] * STEPS, rel=1e-3)
    assert found == pytest.approx([1e-3 * (1 - 0.5 * k / STEPS) for k in range(STEPS)], rel=1e-3)


@pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty")
def test_a_resumed_run_goes_on_along_the_same_line(tmp_path: Path) -> None:
    layers = {
        "": plan(pool=30, mix=6, refresh=5, anneal_to=0.2),
        "norm": plan(pool=20, mix=4, refresh=4, relative=True, anneal_to=3.0),
    }
    whole = run(tmp_path, None, layers=layers)
    again = run(tmp_path, None, str(tmp_path / "step=5.ckpt"), layers=layers)
    kept = {name: replace(one, anneal_to=None) for name, one in layers.items()}
    assert torch.equal(whole, again)
    assert not torch.equal(whole, run(tmp_path / "kept", None, layers=kept))


class Endless(IterableDataset[Any]):
    def __iter__(self) -> Any:
        x, y = data()
        while True:
            yield x, y


def test_a_run_without_an_end_is_refused_with_a_way_out_that_works() -> None:
    loader = DataLoader(Endless(), batch_size=None)
    callback = AdversarialTraining({"": plan(anneal_to=0.5)})
    with pytest.raises(UserError, match=r"anneal_to needs a run with an end: .* max_steps where"):
        trainer(callback, max_steps=-1, max_epochs=2).fit(Host(), loader)
    trainer(callback, max_steps=2).fit(Host(), loader)
    trainer(callback, max_steps=-1, max_epochs=2).fit(Host(), TensorLoader(*data(), N))


@pytest.mark.parametrize(
    ("run", "batches"),
    [
        ({"max_steps": -1, "max_epochs": 3}, 12),
        ({"max_steps": -1, "max_epochs": 3, "accumulate_grad_batches": 3}, 12),
        ({"max_steps": 5, "accumulate_grad_batches": 3}, 11),
        ({"max_steps": 5, "max_epochs": 100}, 5),
    ],
)
def test_the_line_ends_with_the_run(run: dict[str, int], batches: int) -> None:
    done: list[float] = []

    class Watch(Callback):
        def on_train_batch_end(self, *args: Any) -> None:
            done.append(callback.pools.progress)

    callback = AdversarialTraining({"": plan(anneal_to=0.5)})
    trainer(callback, Watch(), **run).fit(Host(), TensorLoader(*data(rows=N * 4), N))
    assert done == pytest.approx([k / batches for k in range(batches)])


def test_a_run_that_was_begun_without_the_callback_goes_on_along_the_line(tmp_path: Path) -> None:
    keep = ModelCheckpoint(tmp_path, every_n_train_steps=1, save_top_k=-1, filename="{step}")
    loader = TensorLoader(*data(), N)
    trainer(keep, max_steps=STEPS, enable_checkpointing=True).fit(Host(), loader)
    callback, watch = AdversarialTraining({"": plan(0.2, anneal_to=0.5)}), Lengths()
    later = trainer(callback, watch, max_steps=STEPS, log_every_n_steps=1)
    with pytest.warns(UserWarning, match="callbacks used to create the checkpoint"):
        later.fit(Host(), loader, ckpt_path=str(tmp_path / "step=6.ckpt"))
    wanted = [0.2 * (1 - 0.5 * k / STEPS) for k in (6, 7)]
    assert [one * FEATURES**0.5 for one in watch.found] == pytest.approx(wanted, rel=1e-3)


def test_lengths_stay_as_they_are_unless_asked() -> None:
    assert lengths() == pytest.approx([0.2] * STEPS, rel=1e-4)
