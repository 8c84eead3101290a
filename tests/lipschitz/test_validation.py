"""Layers that cannot be bounded are listed before any norm is computed."""

import math
from collections.abc import Callable

import pytest
import torch
import torchvision
from torch import Tensor, nn

from lit_intriguing.lipschitz import (
    CannotBoundError,
    Norm,
    network_norm,
    operator_norm,
    register_norm,
    registry,
    validate,
)
from lit_intriguing.models import Classifier
from tests.lipschitz.test_network import UNBOUNDED, Branches, Chain, Images


class Squared(nn.Module):
    """A layer of one's own that is not bounded."""

    def forward(self, x: Tensor) -> Tensor:
        return x**2


class Attended(nn.Module):
    """Several things that have no bound, one behind the other."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.lstm, self.last = nn.Conv1d(2, 4, 1), nn.LSTM(5, 4), nn.Linear(4, 4)
        self.attention = nn.MultiheadAttention(4, 1, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.lstm(self.conv(x))[0]
        x = self.attention(x, x, x)[0]
        return (self.last(x) * x).exp()


def test_all_that_has_no_bound_is_listed_with_the_way_to_register_it() -> None:
    found = validate(Attended(), (2, 5))
    assert [(one.name, one.type) for one in found] == [
        ("lstm", "LSTM"),
        ("attention", "MultiheadAttention"),
        ("mul", "mul"),
        ("exp", "exp"),
    ]
    assert found[0].reason == "no rule for this type of layer"
    assert found[0].remedy == "write a rule: @lit_intriguing.lipschitz.register_norm(torch.nn.LSTM)"
    assert "called with more than its input" in found[1].reason
    assert "both depend on the input" in found[2].reason
    assert "register_norm(<its type>)" in found[2].remedy
    assert "register_function(torch.Tensor.exp)" in str(found[3])


@pytest.mark.parametrize("call", UNBOUNDED.values(), ids=list(UNBOUNDED))
def test_what_makes_a_bound_infinite_is_listed(call: Callable[[Tensor], Tensor]) -> None:
    assert validate(Chain(call), (6,))


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        (Branches(), (4,)),
        (Images(), (2, 6, 6)),
        (Classifier(widths=[6, 5, 4, 3], dropout=[0.1, 0.2, 0.3]), (2, 3)),
        (nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU()), (1, 5, 5)),
    ],
)
def test_nothing_is_listed_of_a_network_that_can_be_bounded(
    model: nn.Module, shape: tuple[int, ...]
) -> None:
    model.train()
    assert validate(model, shape) == []
    assert model.training


@pytest.mark.parametrize(
    ("name", "size", "types"),
    [
        ("resnet18", 64, set()),
        ("squeezenet1_1", 64, set()),
        ("vit_b_16", 224, {"MultiheadAttention"}),
        ("efficientnet_b0", 64, {"mul"}),
    ],
)
def test_networks_of_torchvision(name: str, size: int, types: set[str]) -> None:
    with torch.device("cpu"):
        model = getattr(torchvision.models, name)(weights=None)
    assert {one.type for one in validate(model, (3, size, size))} == types


def test_no_norm_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    def computed(*given: object) -> None:
        raise AssertionError("a norm was computed")

    model = nn.Sequential(
        nn.Conv1d(1, 2, 3), nn.ReLU(), nn.ConvTranspose1d(2, 2, 3), nn.Flatten(), nn.Linear(20, 3)
    )
    for kind in (nn.Conv1d, nn.ConvTranspose1d, nn.Linear):
        monkeypatch.setitem(registry._RULES, kind, {"certified": computed})
    assert validate(model, (1, 10)) == []
    assert not registry._ONLY_CHECKED.get()


def test_a_layer_with_a_bad_weight_or_setting_is_listed() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.Conv1d(2, 2, 1), nn.ReLU())
    model[0].weight.data.fill_(math.nan)
    model[1].padding = 3
    found = validate(model, (2, 3))
    assert [one.name for one in found] == ["0", "1"]
    assert found[0].reason == "its weight contains NaN or infinity"
    assert "its padding is 3" in found[1].reason


def test_all_layers_under_hooks_are_listed() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Sequential(nn.Linear(3, 3), nn.LSTM(3, 3)))
    for layer in (model[1], model[2][0]):
        layer.register_forward_hook(lambda module, args, output: 2 * output)
    found = validate(model, (2, 3))
    assert [one.name for one in found] == ["1", "2.0", "2.1"]
    assert "has a forward hook that may change its output" in found[0].reason
    assert "HARMLESS_HOOKS" in found[0].reason
    assert "register_norm" not in found[0].remedy


def test_control_flow_on_values_is_listed_with_what_lies_behind_it() -> None:
    class Decides(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second, self.lstm = Squared(), nn.Linear(3, 3), nn.LSTM(3, 3)

        def forward(self, x: Tensor) -> Tensor:
            x = self.second(self.first(x))
            return self.lstm(x if x.max() > 0 else -x)[0]

    found = validate(Decides(), (3,))
    assert [one.name for one in found] == ["first.pow", "lstm", ""]
    assert "needs the values of its input" in found[2].reason


def test_a_registered_rule_takes_a_layer_off_the_list_and_its_check_can_put_it_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(registry, "_RULES", dict(registry._RULES))
    monkeypatch.setattr(registry, "_CHECKS", dict(registry._CHECKS))
    model = nn.Sequential(nn.Linear(3, 3), Squared())
    assert [one.name for one in validate(model, (3,))] == ["1.pow"]

    @register_norm(Squared)
    def rule(module: Squared, shape: tuple[int, ...] | None) -> Norm:
        return Norm(2.0)

    assert validate(model, (3,)) == []
    assert network_norm(model, (3,)).norm.finite

    def check(module: Squared, shape: tuple[int, ...] | None) -> None:
        raise CannotBoundError("only for inputs of at most 1")

    register_norm(Squared, check=check)(rule)
    assert [one.reason for one in validate(model, (3,))] == ["only for inputs of at most 1"]
    assert operator_norm(Squared(), (3,)).finite


def test_a_wrong_shape_is_an_error() -> None:
    with pytest.raises(ValueError, match="does not take an example of shape"):
        validate(nn.Linear(3, 2), (4,))
