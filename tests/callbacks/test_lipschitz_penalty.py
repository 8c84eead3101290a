"""LipschitzPenalty: the gradient that the formula asks for, in every kind of training."""

import csv
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.plugins import MixedPrecision
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from lit_intriguing.attacks import GradientAttack
from lit_intriguing.callbacks import AdversarialTraining, LipschitzPenalty, PerturbedLayer
from lit_intriguing.data import TensorLoader
from lit_intriguing.errors import UserError
from tests.lipschitz.test_power import dense_norm

WEIGHT = 0.3
SHAPES = {"net.0": (1, 6, 6), "net.3": (48,), "net.5": (8,)}


class Host(LightningModule):
    """A convolution and two dense layers; what a subclass changes is in its name."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(
            nn.Conv2d(1, 3, 3, stride=2, padding=2), nn.Tanh(), nn.Flatten(),
            nn.Linear(48, 8), nn.Tanh(), nn.Linear(8, 4),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return F.cross_entropy(self(batch[0]), batch[1])

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class ReturnsDict(Host):
    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return {"loss": super().training_step(batch, batch_idx), "note": 1}


class SkipsEverySecond(Host):
    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return None if batch_idx % 2 else super().training_step(batch, batch_idx)


class ByHand(Host):
    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False


class Shared(Host):
    def __init__(self) -> None:
        super().__init__()
        self.net.append(nn.Linear(8, 4))
        self.net[6].weight = self.net[5].weight

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.net[:5](x)
        return self.net[5](hidden) + self.net[6](hidden)


def loader(batch: int = 8, rows: int = 48, **options: Any) -> TensorLoader:
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(rows, 1, 6, 6, generator=generator)
    y = torch.randint(4, (rows,), generator=generator)
    return TensorLoader(x, y, batch, **options)


def fit(host: LightningModule, *callbacks: Callback, **options: Any) -> Trainer:
    resume = options.pop("resume", None)
    data = options.pop("data", None) or loader()
    settings: dict[str, Any] = {"max_steps": 1, "logger": False, "enable_checkpointing": False}
    trainer = Trainer(
        accelerator="cpu", devices=1, callbacks=list(callbacks), enable_progress_bar=False,
        enable_model_summary=False, **{**settings, **options},
    )  # fmt: skip
    trainer.fit(host, data, ckpt_path=resume)
    return trainer


def weights(module: nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in module.parameters()])


def penalised_gradient(host: Host, batch: Any, penalty: Any) -> list[Tensor | None]:
    """Of the host's loss and the penalty, by dense SVD in float64."""
    host.double()
    norms = torch.stack([dense_norm_of(host, name) for name in SHAPES])
    loss = F.cross_entropy(host(batch[0].double()), batch[1]) + penalty(norms)
    parameters = [p for p in host.parameters() if p.requires_grad]
    return list(torch.autograd.grad(loss, parameters))


def dense_norm_of(host: Host, name: str) -> Tensor:
    layer, shape = host.get_submodule(name), SHAPES[name]
    zero = torch.zeros(1, *shape, dtype=torch.float64)
    units = torch.eye(zero.numel(), dtype=torch.float64).view(-1, *shape)
    return torch.linalg.matrix_norm((layer(units) - layer(zero)).flatten(1), 2)


def first_batch(size: int = 8) -> Any:
    return next(iter(loader(size)))


@pytest.fixture
def converged(monkeypatch: pytest.MonkeyPatch) -> None:
    """So many power steps at the start that what is left of the error is rounding."""
    monkeypatch.setattr("lit_intriguing.callbacks.lipschitz_penalty.FIRST_STEPS", 3000)


def moved(kind: type[Host] = Host, **options: Any) -> list[Tensor]:
    """What a step of SGD takes off the weights, divided by the learning rate."""
    host = kind()
    before = [p.detach().clone() for p in host.parameters()]
    penalty = options.pop("penalty", None) or LipschitzPenalty(WEIGHT)
    fit(host, penalty, **options)
    return [(a - b.detach()) / 0.1 for a, b in zip(before, host.parameters(), strict=True)]


@pytest.mark.usefixtures("converged")
@pytest.mark.parametrize(
    ("options", "penalty"),
    [
        ({"power": 1.0, "target": 0.7}, lambda norms: (norms - 0.7).clamp(min=0).sum()),
        ({"power": 3.0}, lambda norms: norms.pow(3).sum()),
        ({"function": torch.prod}, torch.prod),
    ],
)
def test_the_penalty_is_the_function_of_the_norms_that_was_asked_for(
    options: dict[str, Any], penalty: Any
) -> None:
    expected = penalised_gradient(Host(), first_batch(), lambda n: WEIGHT * penalty(n))
    found = moved(penalty=LipschitzPenalty(WEIGHT, **options))
    for one, gradient in zip(found, expected, strict=True):
        torch.testing.assert_close(one, gradient.float(), rtol=1e-4, atol=1e-5)


@pytest.mark.usefixtures("converged")
@pytest.mark.parametrize("situation", ["plain", "dict", "accumulation", "bf16", "scaler"])
def test_the_gradient_is_exact_where_the_direction_is(situation: str) -> None:
    expected = penalised_gradient(Host(), first_batch(16), lambda n: WEIGHT * n.square().sum())
    options: dict[str, Any] = {"data": loader(16)}
    tolerance = {"rtol": 1e-4, "atol": 1e-5}
    if situation == "accumulation":
        options = {"accumulate_grad_batches": 2}
    if situation == "bf16":
        options["precision"] = "bf16-mixed"
        tolerance = {"rtol": 0.05, "atol": 2e-3}
    if situation == "scaler":
        scaler = torch.amp.GradScaler("cpu")
        options["plugins"] = [MixedPrecision("16-mixed", "cpu", scaler)]
        tolerance = {"rtol": 0.02, "atol": 1e-3}
    kind = ReturnsDict if situation == "dict" else Host
    for found, gradient in zip(moved(kind, **options), expected, strict=True):
        torch.testing.assert_close(found, gradient.float(), **tolerance)


def test_a_weight_of_nought_leaves_training_and_randomness_bit_for_bit_alone() -> None:
    outcomes = []
    for callbacks in ([], [LipschitzPenalty(0.0)]):
        host = Host()
        torch.manual_seed(5)
        fit(host, *callbacks, max_steps=7)
        outcomes.append((weights(host), torch.get_rng_state()))
    assert all(map(torch.equal, *outcomes))


class Watch(LipschitzPenalty):
    """Notes the directions of the first layer at every evaluation."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.seen: list[list[Tensor]] = []

    def on_train_batch_start(self, *args: Any) -> None:
        self.seen.append([])

    def _sum(self, norms: Any, device: Any) -> Tensor:
        self.seen[-1].append(self._powers["net.0"].vector)
        return super()._sum(norms, device)


class LineSearch(Host):
    def configure_optimizers(self) -> Any:
        return torch.optim.LBFGS(self.parameters(), max_iter=5, line_search_fn="strong_wolfe")


def test_a_line_search_sees_one_function_which_falls_from_step_to_step() -> None:
    penalty, host = Watch(WEIGHT), LineSearch()
    losses: list[float] = []

    class Losses(Callback):
        def on_before_backward(self, trainer: Any, pl_module: Any, loss: Tensor) -> None:
            losses.append(loss.item())

    fit(host, penalty, Losses(), max_epochs=6, max_steps=-1, data=loader(48))
    assert len(penalty.seen) == 6
    for evaluations in penalty.seen:
        assert len(evaluations) >= 5
        assert all(vector is evaluations[0] for vector in evaluations)
    assert len({id(evaluations[0]) for evaluations in penalty.seen}) == 6
    assert losses[-1] < 0.75 * losses[0]


def test_norms_end_lower_than_without_and_those_below_the_target_are_left_alone() -> None:
    with_it, without, high = Host(), Host(), Host()
    fit(with_it, LipschitzPenalty(0.1), max_steps=60, max_epochs=-1)
    fit(without, max_steps=60, max_epochs=-1)
    fit(high, LipschitzPenalty(0.1, target=50.0), max_steps=60, max_epochs=-1)
    for name, shape in SHAPES.items():
        lower, plain = (dense_norm(x.get_submodule(name), shape) for x in (with_it, without))
        assert lower < 0.9 * plain
    assert torch.equal(weights(high), weights(without))


def test_only_named_layers_are_penalised() -> None:
    some, none = Host(), Host()
    fit(some, LipschitzPenalty(WEIGHT, ["net.3"]))
    fit(none)
    changed = [
        name
        for (name, a), b in zip(some.named_parameters(), none.parameters(), strict=True)
        if not torch.equal(a, b)
    ]
    assert changed == ["net.3.weight"]


@pytest.mark.usefixtures("converged")
def test_a_shared_weight_counts_once_and_twice_if_both_its_layers_are_named() -> None:
    norm = dense_norm(Shared().net[5], (8,)).item()
    for layers, times in ((None, 1), (["net.5", "net.6"], 2)):
        penalty = LipschitzPenalty(WEIGHT, layers, function=torch.sum)
        fit(Shared(), penalty, limit_train_batches=1)
        # `sum` counts the norms: take those of the other layers away.
        others = sum(float(v) for n, v in penalty._norms.items() if n in ("net.0", "net.3"))
        assert float(penalty._value) / WEIGHT - others == pytest.approx(times * norm, rel=1e-5)


def test_a_layer_frozen_in_the_middle_of_the_run_no_longer_counts() -> None:
    class Freeze(Callback):
        def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, index: int) -> None:
            if index == 2:
                module.net[3].requires_grad_(False)

    penalty = LipschitzPenalty(WEIGHT)
    fit(Host(), penalty, Freeze(), max_steps=4)
    assert set(penalty._norms) == {"net.0", "net.5"}


@pytest.mark.filterwarnings("ignore:`training_step` returned `None`")
def test_a_step_that_returns_nothing_is_skipped_as_without() -> None:
    outcomes = []
    for callbacks in ([], [LipschitzPenalty(0.0)]):
        host = SkipsEverySecond()
        trainer = fit(host, *callbacks, max_steps=-1, max_epochs=1)
        outcomes.append((weights(host), torch.tensor(trainer.global_step)))
    assert all(map(torch.equal, *outcomes))


def lines_of(folder: Path) -> list[dict[str, str]]:
    with next(folder.rglob("metrics.csv")).open() as file:
        return list(csv.DictReader(file))


def test_the_value_added_and_the_norms_are_logged(tmp_path: Path) -> None:
    host = Host()
    fit(
        host, LipschitzPenalty(WEIGHT), max_steps=3, log_every_n_steps=1, logger=CSVLogger(tmp_path)
    )
    for line in lines_of(tmp_path):
        norms = [float(line[f"lipschitz_penalty_norm/{name}"]) for name in SHAPES]
        value = WEIGHT * sum(norm**2 for norm in norms)
        assert float(line["lipschitz_penalty"]) == pytest.approx(value, rel=1e-5)
    assert norms[1] == pytest.approx(dense_norm(host.net[3], (48,)).item(), rel=0.1)


@pytest.mark.filterwarnings("ignore:The dirpath has changed")
def test_a_killed_and_resumed_run_ends_with_bit_identical_weights(tmp_path: Path) -> None:
    def run(folder: Path, steps: int, resume: str | None = None) -> Tensor:
        host = Host()
        keep = ModelCheckpoint(folder, every_n_train_steps=4, save_top_k=-1, filename="{step}")
        data = loader(shuffle=True, seed=3)
        options = {"max_epochs": -1, "enable_checkpointing": True, "resume": resume}
        fit(host, LipschitzPenalty(WEIGHT), keep, max_steps=steps, data=data, **options)
        return weights(host)

    whole = run(tmp_path / "whole", 15)
    run(tmp_path / "killed", 9)
    resumed = run(tmp_path / "resumed", 15, str(tmp_path / "killed" / "step=8.ckpt"))
    assert torch.equal(whole, resumed)


@pytest.mark.parametrize("fails", [False, True])
def test_nothing_is_left_on_the_module_and_the_strategy(fails: bool) -> None:
    class Fails(Host):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            if batch_idx == 1:
                raise RuntimeError("fails")
            return super().training_step(batch, batch_idx)

    host = Fails() if fails else Host()
    trainer = None
    if fails:
        with pytest.raises(RuntimeError, match="fails"):
            fit(host, LipschitzPenalty(WEIGHT), max_steps=3)
    else:
        trainer = fit(host, LipschitzPenalty(WEIGHT), max_steps=3)
        assert "training_step" not in vars(trainer.strategy)
    for module in host.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks


def test_a_second_fit_goes_on_and_another_trainer_begins_anew() -> None:
    penalty, host = LipschitzPenalty(WEIGHT), Host()
    trainer = fit(host, penalty, max_steps=2)
    first = penalty._powers["net.3"]
    trainer.fit_loop.epoch_loop.max_steps = 4
    trainer.fit(host, loader())
    assert penalty._powers["net.3"] is first
    fit(Host(), penalty, max_steps=1)
    assert penalty._powers["net.3"] is not first


def test_it_works_beside_adversarial_training() -> None:
    def together(*callbacks: Callback) -> Tensor:
        host = Host()
        pools = {"": PerturbedLayer(GradientAttack(0.1), pool=8, mix=4, refresh=4)}
        fit(host, *callbacks, AdversarialTraining(pools, seed=1), max_steps=3)
        return weights(host)

    assert not torch.equal(together(), together(LipschitzPenalty(WEIGHT)))


class Normalised(Host):
    """A weight that is computed from another; one layer of a type of its own."""

    def __init__(self) -> None:
        super().__init__()
        nn.utils.parametrizations.weight_norm(self.net[3])
        self.net[5] = OfItsOwn(8, 4)


class OfItsOwn(nn.Linear):
    pass


def test_parametrised_layers_count_and_subclasses_are_left_out_with_a_warning() -> None:
    penalty = LipschitzPenalty(WEIGHT)
    with pytest.warns(UserWarning, match=r"leaves out net\.5 \(OfItsOwn"):
        fit(Normalised(), penalty, max_steps=2)
    assert set(penalty._norms) == {"net.0", "net.3"}
    with pytest.raises(UserError, match=r"cannot penalise the layer 'net\.5': OfItsOwn"):
        fit(Normalised(), LipschitzPenalty(WEIGHT, ["net.5"]))


def test_layers_that_cannot_be_penalised_are_named_before_training() -> None:
    with pytest.raises(UserError, match=r"no layer 'net\.9'"):
        fit(Host(), LipschitzPenalty(WEIGHT, ["net.9"]))
    with pytest.raises(UserError, match=r"'net\.1': Tanh is not taken"):
        fit(Host(), LipschitzPenalty(WEIGHT, ["net.1"]))
    with pytest.raises(UserError, match="manual optimisation"):
        fit(ByHand(), LipschitzPenalty(WEIGHT))

    class Nothing(Host):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Sequential(nn.Flatten(), nn.LayerNorm(36))

    with pytest.raises(UserError, match=r"no Linear, Conv .* Add the norm of .*PowerIteration"):
        fit(Nothing(), LipschitzPenalty(WEIGHT))


def test_a_convolution_that_the_step_does_not_call_is_left_out_or_if_named_refused() -> None:
    class Spare(Host):
        def __init__(self) -> None:
            super().__init__()
            self.spare = nn.Conv1d(2, 2, 3)

    with pytest.raises(UserError, match="did not call the layer 'spare'"):
        fit(Spare(), LipschitzPenalty(WEIGHT, layers=["spare"]))
    with pytest.warns(UserWarning, match="leaves out spare: the step does not call"):
        trainer = fit(Spare(), LipschitzPenalty(WEIGHT), max_steps=2)
    assert trainer.global_step == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weight": -1.0}, "weight is at least 0, not -1.0"),
        ({"weight": math.nan}, "weight is at least 0, not nan"),
        ({"weight": 1.0, "power": 0.5}, "power is at least 1"),
        ({"weight": 1.0, "target": -0.1}, "target is at least 0"),
        ({"weight": 1.0, "steps": 0}, "steps is at least 1"),
        ({"weight": 1.0, "layers": []}, "list of names"),
        ({"weight": 1.0, "layers": "net.0"}, "list of names"),
        ({"weight": 1.0, "power": 3.0, "function": torch.sum}, "in place of power and target"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LipschitzPenalty(**options)
