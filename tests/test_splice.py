"""The model from a named layer up, for networks of several kinds, and no hook left behind."""

import pytest
import torch
from torch import Tensor, nn

from lit_intriguing.splice import (
    Splice,
    SpliceError,
    UnknownLayerError,
    activations,
    check_met,
    submodule,
    tail,
)

N, FEATURES, CLASSES = 5, 4, 3


class Residual(nn.Module):
    """A skip runs around `inner` and joins above it."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(FEATURES, FEATURES)
        self.inner = nn.Sequential(nn.Linear(FEATURES, FEATURES), nn.Tanh())
        self.head = nn.Linear(FEATURES, CLASSES)
        self.spare = nn.Linear(1, 1)

    def forward(self, x: Tensor) -> Tensor:
        stem = self.stem(x).tanh()
        return self.head(stem + self.inner(stem))


class Pair(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, x


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.shared = nn.Linear(FEATURES, FEATURES)
        self.pair = Pair()
        self.head = nn.Linear(FEATURES, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.shared(self.shared(self.pair(x)[0])))


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def sequential() -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(FEATURES, 6), nn.Tanh(), nn.Linear(6, 2), nn.Tanh(), nn.Linear(2, CLASSES)
    )


def hooks(model: nn.Module) -> int:
    return sum(len(module._forward_hooks) for module in model.modules())


@pytest.mark.parametrize(("layer", "first"), [("", 0), ("0", 1), ("1", 2), ("3", 4), ("4", 5)])
def test_tail_of_a_sequential_is_its_upper_part(layer: str, first: int) -> None:
    net, x = sequential(), torch.randn(N, FEATURES)
    hidden = torch.randn_like(net[:first](x)) if first else torch.randn_like(x)
    assert torch.equal(tail(net, layer, x)(hidden), net[first:](hidden))
    assert not hooks(net)


def test_tail_of_a_residual_network_keeps_the_skip_from_the_stored_inputs() -> None:
    net, x, hidden = Residual(), torch.randn(N, FEATURES), torch.randn(N, FEATURES)
    expected = net.head(net.stem(x).tanh() + hidden)
    assert torch.equal(tail(net, "inner", x)(hidden), expected)


@pytest.mark.parametrize("rows", [torch.tensor([3, 0, 3]), torch.tensor([True] * 2 + [False] * 3)])
def test_tail_takes_the_stored_inputs_of_the_given_rows(rows: Tensor) -> None:
    net, x = Residual(), torch.randn(N, FEATURES)
    hidden = torch.randn(len(x[rows]), FEATURES)
    expected = net.head(net.stem(x[rows]).tanh() + hidden)
    assert torch.equal(tail(net, "inner", x)(hidden, rows), expected)


def test_gradient_reaches_the_activation_and_the_layers_above_but_none_below() -> None:
    net, x = Residual(), torch.randn(N, FEATURES, requires_grad=True)
    hidden = torch.randn(N, FEATURES, requires_grad=True)
    tail(net, "inner", x)(hidden).sum().backward()
    assert torch.allclose(hidden.grad, net.head.weight.sum(0).expand(N, -1))
    assert net.head.weight.grad is not None
    below = (x, *net.stem.parameters(), *net.inner.parameters())
    assert all(one.grad is None for one in below)


def test_tail_builds_no_graph_where_gradients_are_off() -> None:
    net, x = sequential(), torch.randn(N, FEATURES)
    with torch.no_grad():
        logits = tail(net, "1", x)(torch.randn(N, 6, requires_grad=True))
        assert not torch.is_grad_enabled()
    assert not logits.requires_grad
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("grad", [False, True])
def test_in_place_layer_above_leaves_the_activation_as_it_was(grad: bool) -> None:
    net = nn.Sequential(nn.Linear(FEATURES, 6), nn.ReLU(inplace=True), nn.Linear(6, CLASSES))
    hidden = torch.randn(N, 6, requires_grad=grad)
    before = hidden.detach().clone()
    logits = tail(net, "0", torch.randn(N, FEATURES))(hidden)
    assert torch.equal(hidden, before)
    assert torch.equal(logits, net[2](before.relu()))


def test_unknown_layer_is_told_with_the_nearest_names() -> None:
    net = Residual()
    with pytest.raises(UnknownLayerError, match=r"Residual has no layer 'iner'.*names: inner"):
        tail(net, "iner", torch.zeros(1, FEATURES))
    with pytest.raises(UnknownLayerError, match="The empty name means the input"):
        Splice(net, ["stem", "zzz"])
    assert not hooks(net)


def test_empty_name_is_the_model_itself() -> None:
    net = Residual()
    assert submodule(net, "") is net
    assert submodule(net, "inner.0") is net.inner[0]


@pytest.mark.parametrize(
    ("net", "layer", "message"),
    [
        (Twice, "shared", r"'shared' \(Linear\) is called twice in one forward"),
        (Twice, "pair", r"'pair' \(Pair\) returns a tuple, not a tensor"),
        (Residual, "spare", "'spare' was not called in the forward pass"),
        (Residual, "inner.0", r"gives \(5, 4\), not \(5, 9\) as the activation"),
    ],
)
def test_layer_that_cannot_be_replaced_is_told_and_no_hook_stays(
    net: type[nn.Module], layer: str, message: str
) -> None:
    model = net()
    width = 9 if layer == "inner.0" else FEATURES
    with pytest.raises(SpliceError, match=message):
        tail(model, layer, torch.zeros(N, FEATURES))(torch.zeros(N, width))
    assert not hooks(model)
    assert torch.is_grad_enabled()


def test_model_that_returns_no_logits_is_told() -> None:
    with pytest.raises(SpliceError, match=r"must return logits .* it returned a tuple"):
        tail(Pair(), "", torch.zeros(N, 2))(torch.zeros(N, 2))
    with pytest.raises(SpliceError, match=r"float32 tensor of shape \(5, 2, 2\)"):
        tail(nn.Identity(), "", torch.zeros(N, 2, 2))(torch.zeros(N, 2, 2))


def test_hooks_stay_until_removed_and_change_nothing_by_themselves() -> None:
    net, x = Residual(), torch.randn(N, FEATURES)
    plain = net(x)
    splice = Splice(net, ["", "stem", "inner"])
    assert hooks(net) == 2
    assert torch.equal(net(x), plain)
    splice.remove()
    splice.remove()
    assert not hooks(net)


def test_edits_pass_the_output_through_and_tell_which_layers_were_met() -> None:
    net, x = Residual(), torch.randn(N, FEATURES)
    splice = Splice(net, ["stem", "inner"])
    with splice.edited({"inner": torch.zeros_like}) as met:
        assert met == set()
        edited = net(x)
    assert met == {"inner"}
    assert torch.equal(edited, net.head(net.stem(x).tanh()))
    check_met(["", "inner"], met)
    with pytest.raises(SpliceError, match="'stem' was not called"):
        check_met(["stem"], met)


def test_inner_edits_hold_inside_and_the_outer_ones_come_back() -> None:
    net, x = Residual(), torch.randn(N, FEATURES)
    splice = Splice(net, ["stem", "inner"])
    plain = net(x)
    zero_stem = net.head(net.inner(torch.zeros(N, FEATURES)))
    with splice.edited({"stem": torch.zeros_like}, repeated=True) as outer:
        with splice.edited({}) as inner:
            assert torch.equal(net(x), plain)
        assert inner == outer == set()
        assert torch.equal(net(x), zero_stem)
        assert torch.equal(net(x), zero_stem)
    assert outer == {"stem"}
    assert torch.equal(net(x), plain)


def test_edits_end_with_an_exception() -> None:
    net, x = Residual(), torch.randn(N, FEATURES)
    plain, splice = net(x), Splice(net, ["inner"])
    with pytest.raises(KeyError), splice.edited({"inner": torch.zeros_like}):
        raise KeyError
    assert torch.equal(net(x), plain)


def test_layer_called_twice_passes_where_several_forwards_are_allowed() -> None:
    net = Twice()
    splice = Splice(net, ["shared"])
    with splice.edited({"shared": lambda output: output * 0}, repeated=True):
        assert torch.equal(net(torch.randn(N, FEATURES)), net.head.bias.expand(N, -1))


def test_activations_are_the_layers_outputs_with_one_graph_to_the_logits() -> None:
    net, x = sequential(), torch.randn(N, FEATURES)
    splice = Splice(net, ["3", "1"])
    logits, found = activations(net, splice, ["3", "", "1"], x)
    assert list(found) == ["3", "", "1"]
    assert torch.equal(found[""], x)
    assert torch.equal(found["1"], net[:2](x))
    assert torch.equal(found["3"], net[:4](x))
    gradients = torch.autograd.grad(logits[:, 0].sum(), list(found.values()))
    slope = 1 - found["3"] ** 2
    for gradient, wanted in zip(
        gradients,
        (
            top := net[4].weight[0].expand(N, -1),
            top * slope @ net[2].weight * (1 - found["1"] ** 2) @ net[0].weight,
            top * slope @ net[2].weight,
        ),
        strict=True,
    ):
        torch.testing.assert_close(gradient, wanted)


def test_activations_need_neither_trained_layers_nor_inputs_with_a_gradient() -> None:
    net, x = sequential().requires_grad_(False), torch.randn(N, FEATURES)
    logits, found = activations(net, Splice(net, ["1"]), ["1"], x)
    (gradient,) = torch.autograd.grad(logits.sum(), found["1"])
    assert gradient.abs().sum() > 0
    assert not x.requires_grad


def test_activation_kept_is_the_one_before_an_in_place_layer() -> None:
    net = nn.Sequential(nn.Linear(FEATURES, 6), nn.ReLU(inplace=True), nn.Linear(6, CLASSES))
    x = torch.randn(N, FEATURES)
    logits, found = activations(net, Splice(net, ["0"]), ["0"], x)
    assert torch.equal(found["0"], net[0](x))
    (gradient,) = torch.autograd.grad(logits[:, 1].sum(), found["0"])
    assert torch.equal(gradient, net[2].weight[1] * (found["0"] > 0))
