"""Attacks of other libraries: guard, units and messages, with stand-ins for the libraries."""

import math
import random
import re
import sys
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lit_intriguing.attacks import (
    AdversarialLibrary,
    Attack,
    AutoAttack,
    Criterion,
    Foolbox,
    FromCallable,
    Targeted,
    Torchattacks,
    Untargeted,
)
from lit_intriguing.attacks.adapters import MissingLibraryError, StandIn
from lit_intriguing.splice import tail
from lit_intriguing.types import UNBOUNDED, Bounds

LABELS = torch.tensor([0, 1, 2])


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Flatten(), nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Linear(6, 3)
    ).eval()


def images(rows: int = 3) -> Tensor:
    return torch.rand(rows, 1, 2, 2, generator=torch.Generator().manual_seed(rows))


def adv_lib_like(
    model: nn.Module, inputs: Tensor, labels: Tensor, targeted: bool = False, eps: float = 0.2
) -> Tensor:
    """One step of the shape of adversarial-library's functions, with a backward pass."""
    inputs = inputs.clone().requires_grad_()
    loss = nn.functional.cross_entropy(model(inputs), labels, reduction="sum")
    loss.backward()
    sign = -1 if targeted else 1
    return inputs.detach() + sign * eps * inputs.grad.sign()


def rude(model: Any, inputs: Tensor, labels: Tensor, targeted: bool = False) -> Tensor:
    """Does whatever a library has been seen to do to a model and to the process."""
    model.train()
    model.requires_grad_(False)
    model.zero_grad()
    torch.manual_seed(7)
    np.random.seed(7)
    random.seed(7)
    torch.set_grad_enabled(False)
    return inputs + 0.1 * torch.rand_like(inputs)


def noisy(model: Any, inputs: Tensor, labels: Tensor) -> Tensor:
    drawn = torch.rand(1).item(), np.random.rand(), random.random()
    return inputs * 0 + torch.tensor(sum(drawn) / 3)


@pytest.mark.filterwarnings("ignore:The model is attacked in training mode")
@pytest.mark.parametrize("function", [adv_lib_like, rude, noisy])
def test_nothing_is_left_behind(function: Callable[..., Tensor]) -> None:
    net, x = network(), images()
    net[2].train()
    net[4].bias.requires_grad_(False)
    for parameter in net.parameters():
        parameter.grad = torch.ones_like(parameter)
    kept = {name: value.clone() for name, value in net.state_dict().items()}
    modes = [m.training for m in net.modules()]
    wanted = [p.requires_grad for p in net.parameters()]
    states = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()
    # Only the sealed call's own look at the result may move a BatchNorm that trains.
    frozen = network()
    AdversarialLibrary(function)(frozen, x, Untargeted(LABELS))
    assert all(torch.equal(v, kept[name]) for name, v in frozen.state_dict().items())
    AdversarialLibrary(function)(net, x, Untargeted(LABELS))
    assert torch.equal(torch.get_rng_state(), states[0])
    assert np.random.get_state()[1].tolist() == states[1]
    assert random.getstate() == states[2]
    assert torch.is_grad_enabled()
    assert [m.training for m in net.modules()] == modes
    assert [p.requires_grad for p in net.parameters()] == wanted
    assert all(torch.equal(p.grad, torch.ones_like(p)) for p in net.parameters())
    assert all(torch.equal(p, kept[name]) for name, p in net.named_parameters())


def test_a_function_that_holds_the_network_itself_leaves_it_as_it_was() -> None:
    net, x = network(), images()
    net[4].bias.grad = torch.ones(3)

    def inside(model: Any, x: Tensor, criterion: Criterion, **_: object) -> Tensor:
        net.train()
        net.requires_grad_(False)
        net[4].requires_grad_(True)
        criterion.loss(net(x)).sum().backward()
        return x

    for model in (net, lambda x: net(x), net.forward):
        FromCallable(inside)(model, x, Untargeted(LABELS))
        assert not any(m.training for m in net.modules())
        assert all(p.requires_grad for p in net.parameters())
        assert torch.equal(net[4].bias.grad, torch.ones(3))
        assert net[4].weight.grad is None


def test_what_was_touched_is_put_back_after_an_error() -> None:
    def failing(model: Any, x: Tensor, criterion: Criterion, **_: object) -> Tensor:
        net.train()
        torch.manual_seed(1)
        raise RuntimeError("broken")

    net, state = network(), torch.get_rng_state()
    with pytest.raises(RuntimeError, match="broken"):
        FromCallable(failing)(net, images(), Untargeted(LABELS))
    assert not any(m.training for m in net.modules())
    assert torch.equal(torch.get_rng_state(), state)


def test_global_randomness_follows_the_generator() -> None:
    def run(seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        attack = AdversarialLibrary(noisy)
        return attack(network(), images(), Untargeted(LABELS), generator=generator).adversarial

    assert torch.equal(run(1), run(1))
    assert not torch.equal(run(1), run(2))


def test_gradients_through_the_stand_in_are_the_models() -> None:
    net, x = network(), images()
    for again in (False, True):
        stand_in, a, b = StandIn(net, x), x.clone().requires_grad_(), x.clone().requires_grad_()
        logits = stand_in(a)
        torch.testing.assert_close(logits, net(b))
        logits[:, 0].sum().backward(retain_graph=again)
        net(b)[:, 0].sum().backward()
        torch.testing.assert_close(a.grad, b.grad)
        assert (stand_in.forwards, stand_in.gradients) == (3, 3)
        if again:
            logits[:, 1].sum().backward()
            assert stand_in.gradients == 6


def test_the_stand_in_shows_nothing_of_the_model() -> None:
    stand_in = StandIn(network(), images())
    assert [name for name, _ in stand_in.named_parameters()] == ["whereabouts"]
    assert list(stand_in.modules()) == [stand_in]
    assert not stand_in.training


def test_a_model_without_gradients_is_named() -> None:
    with pytest.raises(ValueError, match="no gradient by its input"):
        AdversarialLibrary(adv_lib_like)(
            lambda x: x.detach().flatten(1)[:, :3], images(), Untargeted(LABELS)
        )


@pytest.mark.parametrize("rows", [0, 1, 3])
def test_queries_count_gradient_evaluations_of_each_row(rows: int) -> None:
    found = AdversarialLibrary(adv_lib_like)(network(), images(rows), Untargeted(LABELS[:rows]))
    assert found.queries.tolist() == [1] * rows
    assert found.adversarial.shape == (rows, 1, 2, 2)
    if rows:
        assert found.info["forwards"].tolist() == [1] * rows


def test_queries_of_a_library_that_leaves_out_rows_are_the_mean_rounded_up() -> None:
    def some(model: Any, inputs: Tensor, labels: Tensor) -> Tensor:
        model(inputs[:2])
        return adv_lib_like(model, inputs[:1], labels[:1]).expand_as(inputs)

    found = AdversarialLibrary(some)(network(), images(), Untargeted(LABELS))
    assert found.queries.tolist() == [1, 1, 1]
    assert found.info["forwards"].tolist() == [1, 1, 1]


@pytest.mark.parametrize("criterion", [Targeted, Untargeted])
def test_targets_and_labels_reach_the_library(criterion: type[Criterion]) -> None:
    seen: dict[str, object] = {}

    def watching(model: Any, inputs: Tensor, labels: Tensor, targeted: bool = False) -> Tensor:
        seen.update(labels=labels.tolist(), targeted=targeted, dtype=labels.dtype)
        return inputs

    AdversarialLibrary(watching)(network(), images(), criterion(LABELS.int()))
    assert seen == {"labels": [0, 1, 2], "targeted": criterion is Targeted, "dtype": torch.int64}


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_a_library_sees_the_box_as_zero_to_one_in_float32(dtype: torch.dtype) -> None:
    bounds = Bounds([-2.0, 1.0], [2.0, 1.5])
    x = torch.tensor([[[-1.0], [1.25]], [[2.0], [1.0]]], dtype=dtype)
    seen: list[Tensor] = []

    def watching(model: Any, inputs: Tensor, labels: Tensor) -> Tensor:
        seen.extend((inputs, model(inputs)))
        return torch.stack([inputs[0] * 0.5, inputs[1] + 1])

    def model(x: Tensor) -> Tensor:
        assert x.dtype == dtype
        return x.flatten(1)

    found = AdversarialLibrary(watching)(model, x, Untargeted(LABELS[:2]), bounds=bounds)
    assert seen[0].dtype == seen[1].dtype == torch.float32
    assert seen[0].flatten(1).tolist() == [[0.25, 0.5], [1.0, 0.0]]
    assert seen[1].tolist() == x.flatten(1).tolist()
    assert found.adversarial.dtype == dtype
    assert found.adversarial.flatten(1).tolist() == [[-1.5, 1.125], [2.0, 1.5]]


def test_an_element_that_the_library_left_alone_comes_back_bit_for_bit() -> None:
    bounds = Bounds([-0.4242, 0.1], [2.8215, 0.1])  # the second has no room

    def one_element(model: Any, inputs: Tensor, labels: Tensor) -> Tensor:
        changed = inputs.clone()
        changed[:, 0, 0] = 1
        return changed + torch.tensor([[0.0], [0.5]])

    x = torch.rand(3, 2, 50) * 3 - 0.4
    x[:, 1] = 0.1
    x[:, 0].clamp_(max=2.8)
    found = AdversarialLibrary(one_element)(
        lambda x: x.flatten(1)[:, :3], x, Untargeted(LABELS), bounds=bounds
    )
    assert torch.equal(found.adversarial[:, 0, 1:], x[:, 0, 1:])
    assert torch.equal(found.adversarial[:, 1], x[:, 1])
    assert bool(bounds.contains(found.adversarial).all())


@pytest.mark.parametrize("bounds", [UNBOUNDED, Bounds(0.0, math.inf)])
def test_infinite_bounds_are_refused_by_name(bounds: Bounds) -> None:
    with pytest.raises(ValueError, match=r"adv_lib's rude searches inside a finite box, but"):
        AdversarialLibrary(rude)(network(), images(), Untargeted(LABELS), bounds=bounds)


@pytest.mark.parametrize(
    "result",
    [
        torch.tensor([[math.nan, 0.5], [0.3, 0.9], [1 + 1e-6, 0.2]]),
        [None, torch.tensor([0.3, 0.9]), np.array([1.000001, 0.2])],
    ],
    ids=["NaN", "None"],
)
def test_failed_rows_are_clean_and_others_inside_the_bounds(result: object) -> None:
    x = torch.full((3, 2), 0.5)
    criterion = Targeted(torch.tensor([0, 1, 0]))
    found = FromCallable(lambda *_, **__: result)(lambda x: x, x, criterion)
    torch.testing.assert_close(found.adversarial, torch.tensor([[0.5, 0.5], [0.3, 0.9], [1, 0.2]]))
    assert found.adversarial.max() <= 1
    assert found.success.tolist() == [False, True, True]
    none = FromCallable(lambda *_, **__: None)(lambda x: x, x, criterion)
    assert torch.equal(none.adversarial, x)
    assert none.success.tolist() == [False] * 3


def test_rows_that_come_back_unchanged_are_judged_like_any() -> None:
    x = torch.tensor([[0.9, 0.1], [0.1, 0.9]])
    found = FromCallable(lambda model, x, *_, **__: x)(
        lambda x: x, x, Untargeted(torch.tensor([0, 0]))
    )
    assert found.success.tolist() == [False, True]


def test_a_result_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=re.escape("shape (2, 4) for examples of shape (3, 1, 2")):
        FromCallable(lambda *_, **__: torch.zeros(2, 4))(network(), images(), Untargeted(LABELS))


def test_a_function_gets_what_the_caller_gave_and_may_have_options() -> None:
    seen: list[object] = []

    def mine(model: Any, x: Tensor, criterion: Criterion, *, eps: float, **rest: object) -> Tensor:
        seen.append((x.dtype, type(criterion), criterion.labels.tolist(), eps, rest))
        return x

    from functools import partial

    x, generator = images().double(), torch.Generator()
    attack = FromCallable(partial(mine, eps=0.5), one_by_one=True)
    attack(network().double(), x, Targeted(LABELS), bounds=UNBOUNDED, generator=generator)
    rest = {"bounds": UNBOUNDED, "generator": generator}
    assert seen == [(torch.float64, Targeted, [label], 0.5, rest) for label in (0, 1, 2)]


def test_one_by_one_gives_each_row_a_batch_of_its_own() -> None:
    sizes: list[int] = []

    def batchwise(model: Any, inputs: Tensor, labels: Tensor) -> Tensor:
        sizes.append(len(inputs))
        return adv_lib_like(model, inputs, labels)

    net, x = network(), images()
    together = AdversarialLibrary(batchwise)(net, x, Untargeted(LABELS))
    apart = AdversarialLibrary(batchwise, one_by_one=True)(net, x, Untargeted(LABELS))
    assert sizes == [3, 1, 1, 1]
    torch.testing.assert_close(together.adversarial, apart.adversarial)
    assert apart.queries.tolist() == [1, 1, 1]


class Bypassed(nn.Module):
    """A network whose hidden layer does not hold all that the logits depend on."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.hidden(x)) + x[:, :3]


def repeating(model: Any, inputs: Tensor, labels: Tensor) -> Tensor:
    logits = model(inputs.repeat(2, 1))
    return (logits[len(inputs) :] / 10).clamp(0, 1)


def test_a_hidden_layers_rows_are_told_apart_one_by_one() -> None:
    torch.manual_seed(0)
    net, x = Bypassed(), torch.rand(3, 4)
    hidden = torch.rand(3, 3)
    whole = tail(net, "hidden", x)
    attack = AdversarialLibrary(repeating, one_by_one=True)
    found = attack(whole, hidden, Untargeted(LABELS))
    torch.testing.assert_close(found.adversarial, (whole(hidden) / 10).clamp(0, 1))
    with pytest.raises(ValueError, match=r"asks for 6 of 3 examples.*set one_by_one=True"):
        AdversarialLibrary(repeating)(whole, hidden, Untargeted(LABELS))
    straight = AdversarialLibrary(adv_lib_like)
    assert straight(whole, hidden, Untargeted(LABELS)).queries.tolist() == [1] * 3
    inputs = AdversarialLibrary(lambda model, x, labels: (model(x[:1]), x)[1])
    assert torch.equal(inputs(tail(net, "", x), x, Untargeted(LABELS)).adversarial, x)


class Other(Targeted):
    """May mean anything."""


ADAPTERS = {
    "adversarial-library": lambda: AdversarialLibrary("adv_lib.attacks.ddn"),
    "foolbox": lambda: Foolbox({"class_path": "foolbox.attacks.DDNAttack"}),
    "autoattack": lambda: AutoAttack(0.3),
    "--no-deps torchattacks": lambda: Torchattacks("torchattacks.PGD"),
}


@pytest.mark.parametrize("how", ADAPTERS)
def test_a_missing_library_is_named_with_what_installs_it(
    how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("adv_lib", "foolbox", "autoattack", "pyautoattack", "torchattacks"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr("lit_intriguing.attacks.adapters.autoattack.find_spec", lambda _: None)
    expected = how if " " in how else f"'lit-intriguing[{how}]'"
    with pytest.raises(MissingLibraryError, match=rf"is not installed.*{re.escape(expected)}"):
        ADAPTERS[how]()


def test_wrong_names_and_options_are_answered_with_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"math has no 'hypott'\. Did you mean 'math\.hypot'\?"):
        FromCallable("math.hypott")
    here = f"{__name__}.adv_lib_like"
    with pytest.raises(ValueError, match=r"adv_lib_like has no option 'epss'\. Did you mean 'eps'"):
        AdversarialLibrary({"class_path": here, "init_args": {"epss": 1}})
    with pytest.raises(ValueError, match=r"class_path and init_args, not with \['attack'\]"):
        AdversarialLibrary({"attack": here})
    with pytest.raises(ValueError, match="3 cannot be called"):
        FromCallable(3)  # type: ignore[arg-type]
    with pytest.raises(MissingLibraryError, match="no_such_package is not installed"):
        FromCallable("no_such_package.attack")


def test_options_from_a_mapping_reach_the_function() -> None:
    path = {"class_path": f"{__name__}.adv_lib_like", "init_args": {"eps": 0.01}}
    x = images() * 0.5 + 0.25
    by_name = AdversarialLibrary(f"{__name__}.adv_lib_like", options={"eps": 0.01})
    for attack in (AdversarialLibrary(path), by_name):
        found = attack(network(), x, Untargeted(LABELS))
        assert (found.adversarial - x).abs().max().item() == pytest.approx(0.01, rel=1e-4)


def test_criteria_that_no_library_knows_are_refused() -> None:
    with pytest.raises(ValueError, match="knows the criteria Targeted and Untargeted, not Other"):
        AdversarialLibrary(rude)(network(), images(), Other(LABELS))
    with pytest.raises(ValueError, match="adv_lib's noisy has no targeted search"):
        AdversarialLibrary(noisy)(network(), images(), Targeted(LABELS))


# Stand-ins of the libraries that bring classes.


class FixedEpsilonAttack:
    """As foolbox's attacks are called."""

    def __call__(
        self, model: Any, inputs: Tensor, criterion: Any, *, epsilons: float | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        if isinstance(criterion, types.SimpleNamespace) and criterion.kind == "targeted":
            raise ValueError("unsupported criterion")
        if len(inputs) > 1 and epsilons == 9:
            raise ValueError(f"init_attack failed for 1.0 of {len(inputs)} inputs")
        if epsilons == 9:
            raise ValueError("init_attack failed for 1.0 of 1 inputs")
        clipped = inputs + epsilons
        return inputs + 5, clipped, torch.ones(len(inputs))


@pytest.fixture
def foolbox_like(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    module: Any = types.ModuleType("foolbox")
    module.FixedEpsilonAttack = FixedEpsilonAttack
    module.attacks = types.SimpleNamespace(
        base=types.SimpleNamespace(FixedEpsilonAttack=FixedEpsilonAttack)
    )
    module.criteria = types.SimpleNamespace(
        Misclassification=lambda y: types.SimpleNamespace(kind="untargeted", labels=y),
        TargetedMisclassification=lambda y: types.SimpleNamespace(kind="targeted", labels=y),
    )
    module.PyTorchModel = lambda model, bounds, device: model
    monkeypatch.setitem(sys.modules, "foolbox", module)
    return module


@pytest.mark.usefixtures("foolbox_like")
def test_foolbox_gets_epsilon_and_hands_back_the_clipped_examples() -> None:
    x = images() / 2
    found = Foolbox("foolbox.FixedEpsilonAttack", epsilon=0.25)(network(), x, Untargeted(LABELS))
    torch.testing.assert_close(found.adversarial, x + 0.25)
    with pytest.raises(ValueError, match="foolbox's FixedEpsilonAttack needs an epsilon"):
        Foolbox(FixedEpsilonAttack())


@pytest.mark.usefixtures("foolbox_like")
def test_foolbox_failures_are_explained() -> None:
    with pytest.raises(ValueError, match="does not search with targets: unsupported criterion"):
        Foolbox(FixedEpsilonAttack(), epsilon=1)(network(), images(), Targeted(LABELS))
    with pytest.raises(ValueError, match=r"failed for 1.0 of 3 inputs. With one_by_one=True"):
        Foolbox(FixedEpsilonAttack(), epsilon=9)(network(), images(), Untargeted(LABELS))
    x = images()
    alone = Foolbox(FixedEpsilonAttack(), epsilon=9, one_by_one=True)
    found = alone(network(), x, Untargeted(LABELS))
    assert torch.equal(found.adversarial, x)
    assert not found.success.any()


class TorchattacksLike:
    """As torchattacks' attacks are built and called."""

    supported_mode = ("default", "targeted")

    def __init__(self, model: nn.Module, eps: float = 0.1) -> None:
        self.model, self.eps, self.targeted = model, eps, False

    def set_mode_targeted_by_label(self, quiet: bool = False) -> None:
        assert quiet
        self.targeted = True

    def __call__(self, inputs: Tensor, labels: Tensor) -> Tensor:
        assert next(self.model.parameters()).device == inputs.device
        return adv_lib_like(self.model, inputs, labels, self.targeted, self.eps)


class Untargetable(TorchattacksLike):
    """Knows no targets."""

    supported_mode = ("default",)


@pytest.mark.parametrize("criterion", [Targeted, Untargeted])
def test_torchattacks_are_built_on_the_stand_in_for_each_batch(criterion: type[Criterion]) -> None:
    net, x, wanted = network(), images(), criterion(LABELS)
    path = {"class_path": f"{__name__}.TorchattacksLike", "init_args": {"eps": 0.05}}
    found = Torchattacks(path)(net, x, wanted)
    expected = adv_lib_like(net, x, LABELS, criterion is Targeted, 0.05).clamp(0, 1)
    torch.testing.assert_close(found.adversarial, expected)


def test_torchattacks_refuse_what_they_cannot_do() -> None:
    with pytest.raises(ValueError, match="TorchattacksLike was built for one model already"):
        Torchattacks(TorchattacksLike(network()))
    with pytest.raises(ValueError, match="torchattacks' Untargetable has no targeted search"):
        Torchattacks(Untargetable)(network(), images(), Targeted(LABELS))
    with pytest.raises(ValueError, match=r"takes images of shape \(N, C, H, W\), not \(3, 4\)"):
        Torchattacks(TorchattacksLike)(network(), images().flatten(1), Untargeted(LABELS))


class Repackaged:
    """As pyautoattack is called."""

    def __init__(
        self, model: nn.Module, *, attacks: list[str] | None = None, device: object = "cpu",
        eps: float = 0.3, norm: str = "Linf", seed: int | None = None, version: str = "standard",
    ) -> None:  # fmt: skip
        assert seed is not None
        self.model, self.eps, self.attacks = model, eps, attacks

    def run_standard_evaluation(
        self, x: Tensor, y: Tensor, /, *, batch_size: int = 250
    ) -> tuple[Tensor, Tensor]:
        assert batch_size == len(x)
        sys.settrace(None)
        return adv_lib_like(self.model, x, y, eps=self.eps), y


class Original:
    """As the authors' autoattack is called."""

    def __init__(
        self, model: nn.Module, norm: str = "Linf", eps: float = 0.3, seed: int | None = None,
        verbose: bool = True, attacks_to_run: list[str] = [], version: str = "standard",  # noqa: B006
        is_tf_model: bool = False, device: object = "cuda", log_path: str | None = None,
    ) -> None:  # fmt: skip
        assert not verbose
        assert str(device) == "cpu"
        self.model, self.eps, self.attacks = model, eps, attacks_to_run

    def run_standard_evaluation(
        self, x_orig: Tensor, y_orig: Tensor, bs: int = 250, return_labels: bool = False
    ) -> Tensor:
        assert bs == len(x_orig)
        return adv_lib_like(self.model, x_orig, y_orig, eps=self.eps)


@pytest.mark.parametrize(
    ("package", "kind"), [("autoattack", Original), ("pyautoattack", Repackaged)]
)
def test_both_packages_of_autoattack_are_understood(
    package: str, kind: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    module: Any = types.ModuleType(package)
    module.AutoAttack = kind
    monkeypatch.setitem(sys.modules, package, module)
    monkeypatch.setattr(
        "lit_intriguing.attacks.adapters.autoattack.find_spec",
        lambda name: name == package or None,
    )

    def tracer(*_: object) -> None: ...

    net, x = network(), images()
    attack = AutoAttack(0.05, version="custom", attacks=["apgd-ce"])
    before = sys.gettrace()
    try:
        sys.settrace(tracer)
        found = attack(net, x, Untargeted(LABELS))
        assert sys.gettrace() is tracer
    finally:
        sys.settrace(before)
    torch.testing.assert_close(
        found.adversarial, adv_lib_like(net, x, LABELS, eps=0.05).clamp(0, 1)
    )
    with pytest.raises(ValueError, match="AutoAttack has no targeted search"):
        attack(net, x, Targeted(LABELS))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"norm": "L3"}, "norm must be one of .*'Linf'.*not 'L3'"),
        ({"version": "fast"}, "version must be one of .* not 'fast'"),
        ({"attacks": ["fab"]}, "custom.*go together"),
        ({"version": "custom"}, "custom.*go together"),
    ],
)
def test_autoattack_refuses_settings_that_do_not_fit(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AutoAttack(0.3, **options)


def test_an_adapter_is_an_attack() -> None:
    assert isinstance(FromCallable(rude), Attack)
    assert isinstance(AdversarialLibrary(rude), Attack)
