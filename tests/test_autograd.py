"""Gradients in evaluation, and modes restored one by one."""

import pytest
import torch
from torch import nn

from lit_intriguing.autograd import grad_island, ordinary, preserved


def network() -> nn.Module:
    """A training network with a frozen BatchNorm inside."""
    net = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.BatchNorm1d(2), nn.Dropout()))
    net.train()
    net[1][0].eval()
    return net


def modes(net: nn.Module) -> list[bool]:
    return [module.training for module in net.modules()]


def test_every_submodule_is_in_evaluation_mode_inside() -> None:
    net = network()
    with preserved(net):
        assert not any(modes(net))


def test_each_submodules_own_mode_comes_back() -> None:
    net = network()
    before = modes(net)
    assert before == [True, True, True, False, True]
    with preserved(net):
        pass
    assert modes(net) == before


def test_modes_come_back_after_an_exception() -> None:
    net = network()
    before = modes(net)
    with pytest.raises(KeyError), preserved(net):
        raise KeyError
    assert modes(net) == before


def test_network_in_evaluation_mode_stays_there() -> None:
    net = network().eval()
    with preserved(net):
        pass
    assert not any(modes(net))


def test_modes_are_restored_when_nested() -> None:
    net = network()
    before = modes(net)
    with preserved(net):
        with preserved(net):
            pass
        assert not any(modes(net))
    assert modes(net) == before


@pytest.mark.parametrize("outside", [torch.no_grad, torch.inference_mode])
def test_island_gives_gradients_of_ordinary_tensors(outside: type) -> None:
    with outside():
        made_inside = torch.ones(2)
        with grad_island():
            x = ordinary(made_inside).requires_grad_()
            (gradient,) = torch.autograd.grad((x**2).sum(), x)
        assert not torch.is_grad_enabled()
    assert gradient.tolist() == [2.0, 2.0]


def test_ordinary_copies_only_an_inference_tensor() -> None:
    with torch.inference_mode():
        inference = torch.ones(2)
    plain = torch.ones(2, requires_grad=True)
    assert ordinary(inference).data_ptr() != inference.data_ptr()
    assert not ordinary(inference).is_inference()
    assert ordinary(plain).data_ptr() == plain.data_ptr()
    assert not ordinary(plain).requires_grad
