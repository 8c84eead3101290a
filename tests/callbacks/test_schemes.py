"""AdversarialTraining by published schemes, against their loops written in plain PyTorch."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.utilities import CombinedLoader
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.utils.data import DataLoader, TensorDataset

from lit_intriguing.attacks import (
    GradientAttack,
    HostLoss,
    RandomTargets,
    TrueLabels,
    VirtualAdversarial,
)
from lit_intriguing.attacks.gradient import random_in_ball
from lit_intriguing.callbacks import AdversarialTraining, ExactResume, PerturbedLayer
from lit_intriguing.data import TensorLoader
from lit_intriguing.errors import UserError
from lit_intriguing.schemes import MART, TRADES, VAT, ExamplesAlone, Scheme
from lit_intriguing.types import Bounds
from tests.callbacks.test_adversarial_training import (
    FEATURES,
    Gradients,
    Host,
    Logged,
    Manual,
    Modes,
    N,
    NoForward,
    Reconstructing,
    data,
    trainer,
)

EPS, STEP, STEPS, SEED = 0.1, 0.04, 4, 11
INF = float("inf")


def plan(norm: float = INF, **options: Any) -> PerturbedLayer:
    """Return an attack of a few steps on pixels."""
    start = options.pop("start", {"random_start": True})
    attack = GradientAttack(EPS, norm=norm, steps=STEPS, step_size=STEP, **start)
    return PerturbedLayer(attack, bounds=Bounds(), **options)


NOISE = {"start_stddev": 0.001}
VIRTUAL = PerturbedLayer(VirtualAdversarial(EPS, xi=0.01, iterations=2))
PLANS = {"madry": plan(), "trades": plan(start=NOISE), "mart": plan(), "vat": VIRTUAL}
SCHEMES: dict[str, Scheme] = {
    "madry": ExamplesAlone(),
    "trades": TRADES(6.0),
    "mart": MART(5.0),
    "vat": VAT(2.0),
}


def training(name: str, **options: Any) -> AdversarialTraining:
    return AdversarialTraining({"": PLANS[name]}, scheme=SCHEMES[name], seed=SEED, **options)


def ascended(loss: Callable[[Tensor], Tensor], x: Tensor, start: Tensor, norm: float) -> Tensor:
    """Write projected gradient ascent out, as Madry et al. do."""
    moved = start
    for _ in range(STEPS):
        moved = moved.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(loss(moved), moved)
        if norm == INF:
            moved = moved + STEP * gradient.sign()
            moved = torch.min(torch.max(moved, x - EPS), x + EPS)
        else:
            moved = moved + STEP * gradient / gradient.norm(dim=1, keepdim=True)
            change = (
                moved.clamp(0, 1) - x
            )  # into the box before the ball too; the papers leave it open
            moved = x + change * (EPS / change.norm(dim=1, keepdim=True)).clamp(max=1)
        moved = moved.clamp(0, 1)
    return moved.detach()


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(SEED)


def uniform_start(x: Tensor, norm: float, generator: torch.Generator) -> Tensor:
    return (x + random_in_ball(x, EPS, norm, generator)).clamp(0, 1)


def madry(net: nn.Module, x: Tensor, y: Tensor, norm: float, generator: torch.Generator) -> Tensor:
    """Return the loss of Madry et al. 2018, equation 2.1."""
    start = uniform_start(x, norm, generator)
    return F.cross_entropy(net(ascended(lambda z: F.cross_entropy(net(z), y), x, start, norm)), y)


def trades(net: nn.Module, x: Tensor, y: Tensor, norm: float, generator: torch.Generator) -> Tensor:
    """Return the loss of `trades_loss` in the authors' code (beta 6)."""
    kl = nn.KLDivLoss(reduction="sum")
    noise = torch.randn(x.shape, generator=generator)

    def ascend(z: Tensor) -> Tensor:
        return kl(F.log_softmax(net(z), dim=1), F.softmax(net(x), dim=1).detach())

    adversarial = ascended(ascend, x, x + 0.001 * noise, norm)
    robust = kl(F.log_softmax(net(adversarial), dim=1), F.softmax(net(x), dim=1)) / len(x)
    return F.cross_entropy(net(x), y) + 6 * robust


def mart(net: nn.Module, x: Tensor, y: Tensor, norm: float, generator: torch.Generator) -> Tensor:
    """Return the loss of `mart_loss` in the authors' code (beta 5)."""
    start = uniform_start(x, norm, generator)
    adversarial = ascended(lambda z: F.cross_entropy(net(z), y), x, start, norm)
    logits, logits_adv = net(x), net(adversarial)
    adv_probs = F.softmax(logits_adv, dim=1)
    tmp1 = torch.argsort(adv_probs, dim=1)[:, -2:]
    new_y = torch.where(tmp1[:, -1] == y, tmp1[:, -2], tmp1[:, -1])
    loss_adv = F.cross_entropy(logits_adv, y) + F.nll_loss(
        torch.log(1.0001 - adv_probs + 1e-12), new_y
    )
    nat_probs = F.softmax(logits, dim=1)
    true_probs = torch.gather(nat_probs, 1, y.unsqueeze(1)).squeeze()
    kl = nn.KLDivLoss(reduction="none")
    loss_robust = (1.0 / len(x)) * torch.sum(
        torch.sum(kl(torch.log(adv_probs + 1e-12), nat_probs), dim=1) * (1.0000001 - true_probs)
    )
    return loss_adv + 5.0 * loss_robust


def vat(net: nn.Module, x: Tensor, y: Tensor, norm: float, generator: torch.Generator) -> Tensor:
    """Return the loss of algorithm 1 of Miyato et al. 2018 (alpha 2, two power iterations)."""
    p = F.softmax(net(x), dim=1).detach()

    def distance(r: Tensor) -> Tensor:
        return F.kl_div(F.log_softmax(net(x + r), dim=1), p, reduction="batchmean")

    d = torch.randn(x.shape, generator=generator)
    d = d / d.norm(dim=1, keepdim=True)
    for _ in range(2):
        r = (0.01 * d).requires_grad_()
        (d,) = torch.autograd.grad(distance(r), r)
        d = d / d.norm(dim=1, keepdim=True)
    return F.cross_entropy(net(x), y) + 2 * distance(EPS * d)


LOOPS = {"madry": madry, "trades": trades, "mart": mart, "vat": vat}


class Sharp(Host):
    """Starts with large weights, so that small perturbations matter."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        with torch.no_grad():
            for weight in self.parameters():
                weight.mul_(2.0)


def gradients_of(host: LightningModule, callback: AdversarialTraining, **options: Any) -> Any:
    found = Gradients()
    trainer(callback, found, **options).fit(host, TensorLoader(*data(), N))
    return found.found


@pytest.mark.parametrize("norm", [INF, 2.0])
@pytest.mark.parametrize("name", LOOPS)
def test_a_step_has_the_gradient_of_the_published_loop(name: str, norm: float) -> None:
    torch.manual_seed(0)
    host = Sharp()
    before = copy.deepcopy(host)
    start = {"start": NOISE} if name == "trades" else {}
    one = VIRTUAL if name == "vat" else plan(norm, **start)
    callback = AdversarialTraining({"": one}, scheme=SCHEMES[name], seed=SEED)
    found = gradients_of(host, callback)
    wanted = torch.autograd.grad(
        LOOPS[name](before, *data(), norm, seeded()), list(before.parameters())
    )
    clean = torch.autograd.grad(
        F.cross_entropy(before(data()[0]), data()[1]), list(before.parameters())
    )
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)
    assert not all(torch.allclose(a, b, rtol=1e-2) for a, b in zip(found, clean, strict=True))


def test_one_step_from_a_random_start_is_that_of_wong_et_al() -> None:
    torch.manual_seed(0)
    host = Sharp()
    before = copy.deepcopy(host)
    attack = GradientAttack(EPS, norm=INF, step_size=1.25 * EPS, random_start=True)
    layers = {"": PerturbedLayer(attack, bounds=Bounds())}
    found = gradients_of(host, AdversarialTraining(layers, scheme=ExamplesAlone(), seed=SEED))
    x, y = data()
    delta = (uniform_start(x, INF, seeded()) - x).requires_grad_()
    (gradient,) = torch.autograd.grad(F.cross_entropy(before(x + delta), y), delta)
    delta = (delta.detach() + 1.25 * EPS * gradient.sign()).clamp(-EPS, EPS)
    delta = torch.max(torch.min(1 - x, delta), 0 - x)
    loss = F.cross_entropy(before(x + delta), y)
    for one, other in zip(found, torch.autograd.grad(loss, list(before.parameters())), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", LOOPS)
def test_the_hosts_step_gets_as_many_rows_as_the_batch_has_also_a_short_last_one(name: str) -> None:
    host = Host()
    loop = trainer(training(name), max_steps=-1, max_epochs=1)
    loop.fit(host, TensorLoader(*data(rows=N + 5), N))
    assert host.rows[-2:] == [N, 5]


class Watching(Host):
    """Keeps the inputs that it is trained on."""

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        self.inputs = batch[0].clone()
        return super().training_step(batch, batch_idx)


@pytest.mark.parametrize("name", LOOPS)
def test_the_step_runs_on_examples_where_the_scheme_says_so(name: str) -> None:
    torch.manual_seed(0)
    host = Watching()
    gradients_of(host, training(name))
    change = (host.inputs - data()[0]).abs()
    if SCHEMES[name].in_place:
        assert 0.05 < change.max() <= EPS + 1e-6
    else:
        assert change.max() == 0


@pytest.mark.parametrize("name", LOOPS)
def test_logged_values_are_those_of_the_step(name: str) -> None:
    torch.manual_seed(0)
    host, logged = Sharp(), Logged()
    before = copy.deepcopy(host)
    trainer(training(name), logged, log_every_n_steps=1).fit(host, TensorLoader(*data(), N))
    x, y = data()
    values = {k.rpartition("/")[2]: v for k, v in logged.values.items() if "/input/" in k}
    assert values["error"] == pytest.approx(values["success"]) or name in ("trades", "vat")
    assert {"distortion", "error", "loss", "success"} <= set(values)
    assert 0.02 < values["distortion"] <= EPS
    whole = LOOPS[name](before, x, y, INF, seeded()).item()
    if SCHEMES[name].in_place:
        whole -= values["loss"]  # of the examples
    else:
        whole -= F.cross_entropy(before(x), y).item()
    assert values.get("added", 0.0) == pytest.approx(whole, rel=1e-4, abs=1e-5)


def run(folder: Any, name: str, stop: int | None, resume: str | None = None) -> Tensor:
    """Train 8 steps with dropout and BatchNorm, stopping early or resuming if asked."""
    torch.manual_seed(3)
    host = Modes()
    keep = ModelCheckpoint(folder, every_n_train_steps=1, save_top_k=-1, filename="{step}")
    loop = trainer(
        training(name), ExactResume(), keep, max_steps=stop or 8, enable_checkpointing=True
    )
    loop.fit(host, TensorLoader(*data(rows=50), N, shuffle=True, seed=5), ckpt_path=resume)
    return torch.cat([value.double().flatten() for value in host.state_dict().values()])


@pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty")
@pytest.mark.parametrize("name", LOOPS)
def test_a_resumed_run_ends_with_bit_identical_weights(name: str, tmp_path: Any) -> None:
    whole = run(tmp_path / "whole", name, None)
    run(tmp_path / "part", name, 5)
    assert torch.equal(
        whole, run(tmp_path / "part", name, None, str(tmp_path / "part/step=5.ckpt"))
    )


class Evaluated(Host):
    """Validates, and keeps what it saw."""

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.validated = batch[0].clone(), self(batch[0])


@pytest.mark.parametrize("name", LOOPS)
def test_evaluation_is_untouched(name: str) -> None:
    host = Evaluated()
    loop = trainer(training(name), max_steps=2, limit_val_batches=1)
    loop.fit(host, TensorLoader(*data(), N), TensorLoader(*data(), N))
    assert torch.equal(host.validated[0], data()[0])
    assert torch.equal(host.validated[1], host(data()[0]))


@pytest.mark.parametrize("precision", ["bf16-mixed", "64-true"])
@pytest.mark.parametrize("name", LOOPS)
def test_other_precisions_work(name: str, precision: Any) -> None:
    found = gradients_of(Host(), training(name), precision=precision)
    assert all(one.isfinite().all() for one in found)


@pytest.mark.parametrize("name", LOOPS)
def test_accumulated_batches_add_their_gradients(name: str) -> None:
    torch.manual_seed(0)
    host = Sharp()
    before = copy.deepcopy(host)
    found = Gradients()
    loop = trainer(training(name), found, accumulate_grad_batches=2)
    x, y = data(rows=2 * N)
    loop.fit(host, TensorLoader(x, y, N))
    generator = seeded()
    both = [LOOPS[name](before, x[k : k + N], y[k : k + N], INF, generator) for k in (0, N)]
    wanted = torch.autograd.grad(sum(both) / 2, list(before.parameters()))
    for one, other in zip(found.found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_modules_without_classes_train_on_examples_of_a_larger_loss() -> None:
    torch.manual_seed(0)
    host = Reconstructing()
    x = data()[0]
    before = copy.deepcopy(host)
    callback = AdversarialTraining({"": plan()}, scheme=ExamplesAlone())
    trainer(callback).fit(host, DataLoader(x, batch_size=N))
    assert callback.pools.layers[""].goal == HostLoss(fresh=True)
    assert not torch.equal(before.net[0].weight, host.net[0].weight)


@pytest.mark.parametrize("scheme", [VAT(), TRADES()], ids=repr)
def test_batches_without_labels_can_be_smoothed(scheme: Scheme) -> None:
    """The rows of a second loader have no labels; the host's loss does not know them."""

    class SemiSupervised(Host):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            self.seen = batch["unlabelled"][0]
            return super().training_step(batch["labelled"], batch_idx)

    torch.manual_seed(0)
    host, found = SemiSupervised(), Gradients()
    before = copy.deepcopy(host)
    unlabelled = torch.rand(2 * N, FEATURES)
    loaders = {
        "labelled": TensorLoader(*data(), N),
        "unlabelled": DataLoader(TensorDataset(unlabelled), batch_size=2 * N),
    }
    one = VIRTUAL if isinstance(scheme, VAT) else plan(start=NOISE)
    callback = AdversarialTraining({"": one}, scheme=scheme, inputs="unlabelled.0", seed=SEED)
    trainer(callback, found).fit(host, CombinedLoader(loaders))
    x, y = data()
    plain = torch.autograd.grad(F.cross_entropy(before(x), y), list(before.parameters()))
    assert torch.equal(host.seen, unlabelled)
    assert not torch.allclose(found.found[0], plain[0], rtol=1e-3)


def test_manual_optimisation_trains_on_examples_alone() -> None:
    host = Manual()
    trainer(training("madry")).fit(host, TensorLoader(*data(), N))
    assert set(host.rows) == {N}


REFUSED: dict[str, tuple[Callable[[], LightningModule], Scheme, str]] = {
    "manual": (Manual, TRADES(), "needs automatic optimisation; ExamplesAlone"),
    "no forward": (NoForward, MART(), "has no forward"),
    "no classes": (Reconstructing, MART(), "needs class labels and logits.*ExamplesAlone"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_hosts_that_a_scheme_cannot_have_are_refused_before_training(case: str) -> None:
    build, scheme, message = REFUSED[case]
    layers = {"": plan(start=NOISE)}
    batches: Any = TensorLoader(*data(), N)
    if case == "no classes":
        batches = DataLoader(data()[0], batch_size=N)
    with pytest.raises(UserError, match=message):
        trainer(AdversarialTraining(layers, scheme=scheme)).fit(build(), batches)


def test_a_step_that_normalises_is_refused_with_a_way_out_that_works() -> None:
    class Normalises(Host):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            return F.cross_entropy(self((batch[0] - 0.5) / 0.2), batch[1])

    with pytest.raises(UserError, match=r"computes other logits.*scheme=ExamplesAlone\(\)"):
        gradients_of(Normalises(), training("trades"))
    gradients_of(Normalises(), training("madry"))


PROBLEMS: dict[str, tuple[dict[str, Any], str]] = {
    "hidden layer": ({"layers": {"net.1": plan()}}, "the input alone"),
    "pool": ({"layers": {"": plan(pool=500)}}, "without a pool: leave pool out"),
    "weight": ({"layers": {"": plan(weight=2.0)}}, "leave weight out"),
    "keep_out": ({"keep_out": True}, "leave keep_out out"),
    "loss of the host": (
        {"scheme": TRADES(), "layers": {"": plan(goal=HostLoss())}},
        "needs class logits",
    ),
    "start": ({"scheme": TRADES(), "layers": {"": plan(start={})}}, "start_stddev=0.001"),
    "goal": ({"scheme": "trades"}, "scheme must be"),
}


@pytest.mark.parametrize("case", PROBLEMS)
def test_options_that_make_no_sense_are_refused(case: str) -> None:
    options, message = PROBLEMS[case]
    with pytest.raises(ValueError, match=message):
        AdversarialTraining(**{"layers": {"": plan()}, "scheme": ExamplesAlone(), **options})


def test_another_goal_can_be_given() -> None:
    for goal in (RandomTargets(), TrueLabels()):
        callback = AdversarialTraining({"": plan(goal=goal)}, scheme=TRADES())
        gradients_of(Host(), callback)
        assert callback.pools.layers[""].goal == goal


def test_labels_without_a_class_do_not_enter_what_mart_adds() -> None:
    class Ignoring(Host):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            return F.cross_entropy(self(batch[0]), batch[1], ignore_index=-1)

    x, y = data()
    y[::3] = -1
    found = Gradients()
    trainer(training("mart"), found).fit(Ignoring(), TensorLoader(x, y, N))
    assert all(one.isfinite().all() for one in found.found)
