"""AdversarialWeightPerturbation against its formula; weights come back bit for bit."""

import copy
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.tuner import Tuner
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from lit_intriguing.attacks import HostLoss
from lit_intriguing.callbacks import (
    AdversarialTraining,
    AdversarialWeightPerturbation,
    ExactResume,
)
from lit_intriguing.data import TensorLoader
from lit_intriguing.errors import UserError
from tests.callbacks.test_adversarial_training import (
    Closures,
    Gradients,
    Host,
    Logged,
    Manual,
    Modes,
    N,
    Skipping,
    data,
    trainer,
)
from tests.callbacks.test_adversarial_training import plan as pool_plan
from tests.callbacks.test_schemes import INF, LOOPS, Sharp, seeded, training

GAMMA = 0.05


def moved(net: nn.Module, loss: Tensor) -> nn.Module:
    """Return the network at the perturbed weights, by the authors' `AdvWeightPerturb`."""
    proxy = copy.deepcopy(net)
    names = [name for name, one in net.named_parameters() if one.ndim > 1]
    weights = [dict(net.named_parameters())[name] for name in names]
    for name, gradient in zip(names, torch.autograd.grad(loss, weights), strict=True):
        weight = dict(proxy.named_parameters())[name]
        with torch.no_grad():
            weight.add_(GAMMA * weight.norm() / (gradient.norm() + 1e-20) * gradient)
    return proxy


def clean(net: nn.Module, x: Tensor, y: Tensor, norm: float, generator: Any) -> Tensor:
    return F.cross_entropy(net(x), y)


@pytest.mark.parametrize("first", [True, False], ids=["before it", "after it"])
@pytest.mark.parametrize("name", ["madry", "trades", "mart", "clean"])
def test_gradient_is_that_at_the_perturbed_weights_of_the_same_examples(
    name: str, first: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    host, found = Sharp(), Gradients()
    before = copy.deepcopy(host)
    others: list[Callback] = [] if name == "clean" else [training(name)]
    awp = AdversarialWeightPerturbation(GAMMA)
    callbacks = [awp, *others] if first else [*others, awp]
    trainer(*callbacks, found).fit(host, TensorLoader(*data(), N))
    loop: Any = {**LOOPS, "clean": clean}[name]
    proxy = moved(before, loop(before, *data(), INF, seeded()))
    fixed = examples_at(name, before, monkeypatch)
    loss = loop(proxy, *data(), INF, seeded())
    assert fixed() > 0 or name == "clean"
    wanted = torch.autograd.grad(loss, list(proxy.parameters()))
    for one, other in zip(found.found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def examples_at(name: str, net: nn.Module, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Have the loops make their examples with this network, at the weights as they are."""
    from tests.callbacks import test_schemes

    made: list[Tensor] = []
    if name != "clean":
        keep = test_schemes.ascended

        def noting(*args: Any) -> Tensor:
            made.append(keep(*args))
            return made[-1]

        with monkeypatch.context() as patch:
            patch.setattr(test_schemes, "ascended", noting)
            LOOPS[name](net, *data(), INF, seeded())
        monkeypatch.setattr(test_schemes, "ascended", lambda *args: made[0])
    return lambda: len(made)


class Watch(Callback):
    """Compares the weights at each stage of a step with those at its start."""

    def __init__(self) -> None:
        self.forward: list[bool] = []

    def on_train_batch_start(self, trainer: Any, pl_module: Any, *args: Any) -> None:
        self.start = [one.detach().clone() for one in pl_module.parameters()]

    def same(self, pl_module: Any) -> bool:
        pairs = zip(self.start, pl_module.parameters(), strict=True)
        return all(torch.equal(a, b) for a, b in pairs)

    def on_before_zero_grad(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        """Is called after the forward, before the backward."""
        self.forward.append(self.same(pl_module))

    def on_after_backward(self, trainer: Any, pl_module: Any) -> None:
        assert self.same(pl_module)

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        assert self.same(pl_module)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "bf16-true", "64-true"])
def test_weights_are_restored_bit_for_bit_before_the_optimiser_steps(precision: Any) -> None:
    watch = Watch()
    callbacks = (training("madry"), AdversarialWeightPerturbation(GAMMA), watch)
    host = Host()
    loop = trainer(*callbacks, max_steps=3, accumulate_grad_batches=2, precision=precision)
    loop.fit(host, TensorLoader(*data(rows=6 * N), N))
    assert watch.forward
    assert not any(watch.forward)


def test_buffers_and_random_states_are_those_of_one_pass() -> None:
    states = []
    for awp in ([], [AdversarialWeightPerturbation(1e-12)]):
        torch.manual_seed(0)
        host = Modes()
        trainer(*awp, max_steps=3).fit(host, TensorLoader(*data(rows=3 * N), N))
        states.append((host.state_dict(), torch.get_rng_state()))
    (plain, random), (perturbed, random_after) = states
    assert torch.equal(random, random_after)
    for name, value in plain.items():
        torch.testing.assert_close(value, perturbed[name], rtol=1e-5, atol=1e-6)


def run(folder: Any, stop: int | None, resume: str | None = None) -> Tensor:
    torch.manual_seed(3)
    host = Modes()
    keep = ModelCheckpoint(folder, every_n_train_steps=1, save_top_k=-1, filename="{step}")
    loop = trainer(
        training("trades"),
        AdversarialWeightPerturbation(GAMMA, start_step=2),
        ExactResume(),
        keep,
        max_steps=stop or 8,
        enable_checkpointing=True,
    )
    loop.fit(host, TensorLoader(*data(rows=50), N, shuffle=True, seed=5), ckpt_path=resume)
    return torch.cat([value.double().flatten() for value in host.state_dict().values()])


@pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty")
def test_a_resumed_run_ends_with_bit_identical_weights(tmp_path: Any) -> None:
    whole = run(tmp_path / "whole", None)
    run(tmp_path / "part", 5)
    assert torch.equal(whole, run(tmp_path / "part", None, str(tmp_path / "part/step=5.ckpt")))


def test_nothing_moves_before_the_start_step() -> None:
    watch = Watch()
    awp = AdversarialWeightPerturbation(GAMMA, start_step=2)
    trainer(awp, watch, max_steps=4).fit(Host(), TensorLoader(*data(rows=4 * N), N))
    assert watch.forward == [True, True, False, False]


class Failing(Host):
    """Fails in its second forward, that at the perturbed weights."""

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        loss = super().training_step(batch, batch_idx)
        if not torch.equal(self.net[0].weight, self.before):
            raise RuntimeError("on its way")
        return loss


def test_weights_are_restored_where_a_step_fails() -> None:
    host = Failing()
    host.before = host.net[0].weight.detach().clone()
    with pytest.raises(RuntimeError, match="on its way"):
        trainer(AdversarialWeightPerturbation(GAMMA)).fit(host, TensorLoader(*data(), N))
    assert torch.equal(host.net[0].weight, host.before)


@pytest.mark.filterwarnings("ignore:.*training_step.* returned .None.")
def test_steps_that_skip_a_batch_and_closures_are_no_error() -> None:
    for host in (Skipping(), Closures()):
        trainer(AdversarialWeightPerturbation(GAMMA), max_steps=3).fit(
            host, TensorLoader(*data(rows=4 * N), N)
        )
        assert all(one.isfinite().all() for one in host.parameters())


@pytest.mark.parametrize("goal", [None, HostLoss()], ids=repr)
def test_pools_of_hidden_layers_work_beside_it(goal: Any) -> None:
    layers = {"": pool_plan(goal=goal), "net.1": pool_plan(goal=goal)}
    watch = Watch()
    callbacks = (AdversarialWeightPerturbation(GAMMA), AdversarialTraining(layers), watch)
    trainer(*callbacks, max_steps=3).fit(Host(), TensorLoader(*data(rows=3 * N), N))
    assert watch.forward == [False] * 3


def test_the_finder_of_learning_rates_leaves_the_weights() -> None:
    host = Host()
    host.lr = 0.1
    before = [one.detach().clone() for one in host.parameters()]
    loop = trainer(AdversarialWeightPerturbation(GAMMA), max_steps=20)
    Tuner(loop).lr_find(host, TensorLoader(*data(rows=4 * N), N), num_training=4)
    for one, other in zip(before, host.parameters(), strict=True):
        assert torch.equal(one, other)


def test_the_gain_is_logged() -> None:
    torch.manual_seed(0)
    host, logged = Sharp(), Logged()
    before = copy.deepcopy(host)
    awp = AdversarialWeightPerturbation(GAMMA)
    trainer(awp, logged, log_every_n_steps=1).fit(host, TensorLoader(*data(), N))
    x, y = data()
    loss = F.cross_entropy(before(x), y)
    gain = F.cross_entropy(moved(before, loss)(x), y) - loss
    assert logged.values["weight_perturbation/gain"] == pytest.approx(gain.item(), rel=1e-4)
    assert gain > 0


def test_manual_optimisation_is_refused() -> None:
    with pytest.raises(UserError, match="use automatic optimisation, or leave it out"):
        trainer(AdversarialWeightPerturbation()).fit(Manual(), TensorLoader(*data(), N))


def test_two_of_them_are_refused() -> None:
    two = [AdversarialWeightPerturbation(), AdversarialWeightPerturbation()]
    with pytest.raises(UserError, match="leave one out"):
        trainer(*two).fit(Host(), TensorLoader(*data(), N))


@pytest.mark.filterwarnings("ignore:.torch.jit.trace")
def test_scripted_modules_are_refused() -> None:
    host = Host(net=torch.jit.trace(Host().net, torch.rand(2, 6)))
    with pytest.raises(UserError, match="no scripted modules"):
        trainer(AdversarialWeightPerturbation()).fit(host, TensorLoader(*data(), N))


@pytest.mark.parametrize("gamma", [0.0, -0.1, float("inf"), float("nan"), "0.1"], ids=repr)
def test_a_bad_gamma_is_refused(gamma: Any) -> None:
    with pytest.raises(ValueError, match="gamma must be"):
        AdversarialWeightPerturbation(gamma)


def test_no_wrapped_step_is_left_behind() -> None:
    host: LightningModule = Host()
    loop = trainer(AdversarialWeightPerturbation())
    loop.fit(host, TensorLoader(*data(), N))
    assert not {"training_step", "backward"} & set(vars(loop.strategy))
