"""Plain copies: no trace of a run, and no silence on hooks that may change an output."""

import functools
import math
import re
from collections.abc import Callable, Iterator
from types import MethodType
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_module
from torch.nn.utils import parametrize, prune
from torch.utils.flop_counter import FlopCounterMode

from lit_intriguing.lipschitz import dense_layers, network_norm, operator_norm
from lit_intriguing.lipschitz.unwrapped import HARMLESS_HOOKS, changed_by, unwrapped
from lit_intriguing.splice import add_forward_hook


def hundredfold(module: nn.Module, args: Any, output: Tensor) -> Tensor:
    return 100 * output


def before(module: nn.Module, args: tuple[Tensor]) -> tuple[Tensor]:
    return (100 * args[0],)


class Observer:
    def __call__(self, module: nn.Module, args: Any, output: Tensor) -> None:
        return None


def model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Sequential(nn.Linear(3, 2)))


HOOKED: dict[str, tuple[Callable[[nn.Sequential], Any], str]] = {
    "hook": (lambda net: net[0].register_forward_hook(hundredfold), "0 .Linear. has a"),
    "pre-hook": (lambda net: net[0].register_forward_pre_hook(before), r"\(before\)"),
    "on an activation": (lambda net: net[1].register_forward_hook(hundredfold), "1 .ReLU. has"),
    "on a container": (lambda net: net[2].register_forward_hook(hundredfold), "2 .Sequential. has"),
    "on the whole": (lambda net: net.register_forward_hook(hundredfold), "Sequential has"),
    "an object": (lambda net: net[0].register_forward_hook(Observer()), "Observer"),
    "a partial": (
        lambda net: net[0].register_forward_hook(functools.partial(hundredfold)), "hundredfold",
    ),
    "with keywords": (
        lambda net: net[0].register_forward_hook(
            lambda module, args, kwargs, output: 100 * output, with_kwargs=True
        ),
        "lambda",
    ),
    "a forward of its own": (
        lambda net: setattr(net[0], "forward", MethodType(lambda self, x: 100 * x[:, :3], net[0])),
        "own",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", HOOKED)
def test_what_may_change_an_output_makes_the_bound_infinite_and_is_named(kind: str) -> None:
    net = model()
    assert network_norm(net, (4,)).norm.finite
    change, reason = HOOKED[kind]
    change(net)
    for one in (net, unwrapped(net), unwrapped(unwrapped(net))):
        found = network_norm(one, (4,))
        assert math.isinf(found.norm.value)
        assert found.joint is None
        assert re.search(reason, found.product.reason)
        assert dense_layers(one, (4,)) is None
        assert math.isinf(operator_norm(one).value)


def test_only_the_hooked_layers_own_bound_is_lost() -> None:
    net = model()
    net[0].register_forward_hook(hundredfold)
    layers = {layer.name: layer.norm for layer in network_norm(net, (4,)).layers}
    assert layers["0"].reason == (
        "0: Linear: this one has a forward hook that may change its output (hundredfold): remove "
        "it or, if it only looks, append the Python module that it comes from to "
        "lit_intriguing.lipschitz.HARMLESS_HOOKS"
    )
    assert layers["2.0"] == operator_norm(net[2][0])


def test_a_method_replaced_on_one_layer_makes_its_bound_infinite() -> None:
    net = nn.Sequential(nn.Conv2d(1, 1, 3, padding=1, bias=False))
    layer = net[0]
    method = type(layer)._conv_forward
    layer._conv_forward = MethodType(lambda self, *args: 100 * method(self, *args), layer)
    x = torch.zeros(1, 1, 5, 5)
    x[0, 0, 2, 2] = 1
    assert layer(x).norm() > network_norm(nn.Sequential(nn.Conv2d(1, 1, 3)), (1, 5, 5)).norm.value
    for found in (operator_norm(layer, (1, 5, 5)), network_norm(net, (1, 5, 5)).norm):
        assert math.isinf(found.value)
        assert "has methods of its own (_conv_forward)" in found.reason


def test_a_call_replaced_on_one_layer_makes_its_bound_infinite() -> None:
    layer = nn.Linear(2, 2)
    layer._call_impl = lambda x: 100 * x
    assert "has methods of its own (_call_impl)" in operator_norm(layer).reason


def test_a_forward_of_another_layer_of_the_type_is_no_forward_of_its_own_type() -> None:
    small, large = nn.Linear(2, 2), nn.Linear(2, 2)
    small.forward = small.forward  # as DDP leaves it behind
    assert operator_norm(small).finite
    small.forward = large.forward
    assert "has a forward of its own" in operator_norm(small).reason


def test_frozen_layers_whose_train_does_nothing_are_bounded() -> None:
    net = model().eval()
    net[0].train = lambda mode=True: net[0]
    assert network_norm(net, (4,)).norm.finite


def test_a_hook_on_a_compiled_wrapper_counts() -> None:
    net = model()
    net[0] = torch.compile(net[0], backend="eager")
    assert network_norm(net, (4,)).norm.finite
    net[0].register_forward_hook(hundredfold)
    assert math.isinf(network_norm(net, (4,)).norm.value)


def test_a_hook_on_a_parametrization_counts() -> None:
    net = model()
    parametrize.register_parametrization(net[0], "weight", nn.Identity())
    assert operator_norm(net[0]).finite
    net[0].parametrizations.weight[0].register_forward_hook(hundredfold)
    assert math.isinf(operator_norm(net[0]).value)


@pytest.fixture
def everywhere() -> Iterator[list[Any]]:
    """What torch calls for all modules notes its calls here."""
    calls: list[Any] = []
    handle = torch_module.register_module_forward_pre_hook(lambda *given: calls.append(given))
    yield calls
    handle.remove()


def test_a_global_hook_makes_all_bounds_infinite_and_is_not_called(everywhere: list[Any]) -> None:
    net = model()
    found = network_norm(net, (4,))
    assert "is under a global forward hook" in found.product.reason
    assert math.isinf(operator_norm(net[0]).value)
    assert not everywhere


@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
@pytest.mark.parametrize(
    "harmless",
    [
        nn.utils.weight_norm,
        lambda layer: prune.l1_unstructured(layer, "weight", 0.5),
        lambda layer: add_forward_hook(layer, hundredfold),
        lambda layer: layer.register_full_backward_hook(lambda *given: None),
        lambda layer: layer.register_state_dict_post_hook(lambda *given: None),
    ],
)
def test_known_hooks_and_those_of_other_kinds_do_not_count(harmless: Callable[..., Any]) -> None:
    net = model()
    harmless(net[0])
    net(torch.ones(1, 4))
    assert network_norm(net, (4,)).norm.finite
    true = torch.linalg.matrix_norm(net[0].weight.double(), 2).item()
    assert operator_norm(net[0]).value == pytest.approx(true, rel=1e-6)


def test_a_flop_counter_does_not_count() -> None:
    with FlopCounterMode(display=False):
        assert network_norm(model(), (4,)).norm.finite


def test_a_program_can_say_that_its_hooks_are_harmless(monkeypatch: pytest.MonkeyPatch) -> None:
    net = model()
    net[0].register_forward_hook(Observer())
    assert "Observer" in changed_by(net[0])
    monkeypatch.setattr(
        "lit_intriguing.lipschitz.unwrapped.HARMLESS_HOOKS", [*HARMLESS_HOOKS, __name__]
    )
    assert changed_by(net[0]) == ""
    assert network_norm(net, (4,)).norm.finite


def test_a_name_that_only_begins_like_a_harmless_one_is_not_known() -> None:
    layer = nn.Linear(2, 2)
    hook = Observer()
    hook.__module__ = "lightning_of_mine"
    layer.register_forward_hook(hook)
    assert changed_by(layer)


def test_a_copy_shares_weights_and_leaves_the_module_as_it_is() -> None:
    net = model().train()
    net[0].register_forward_hook(hundredfold)
    attributes = {name: dict(vars(part)) for name, part in net.named_modules()}
    copy = unwrapped(net)
    assert copy[0].weight is net[0].weight
    assert not copy.training
    assert not copy[0]._forward_hooks
    copy.extra = 1
    assert attributes == {name: dict(vars(part)) for name, part in net.named_modules()}
