import pytest
import torch
from torch import nn

from lit_intriguing.errors import UserError
from lit_intriguing.models import Classifier, logistic_from_tanh


def tanh_network(widths: tuple[int, ...], **options: object) -> Classifier:
    torch.manual_seed(0)
    network = Classifier(widths, activation=nn.Tanh, **options)
    for parameter in network.parameters():
        nn.init.normal_(parameter)
    return network


@pytest.mark.parametrize("widths", [(5, 3), (5, 7, 3), (5, 7, 6, 3), (5, 4, 7, 6, 3)], ids=str)
def test_the_logits_are_those_of_the_tanh_network(widths: tuple[int, ...]) -> None:
    network = tanh_network(widths).double()
    made = logistic_from_tanh(network)
    x = 10 * torch.randn(50, 5, dtype=torch.float64)
    assert torch.allclose(made(x), network(x), atol=1e-13)


def test_its_units_are_logistic_and_hold_their_own_weights() -> None:
    network = tanh_network((5, 7, 6, 3))
    made = logistic_from_tanh(network)
    assert isinstance(made.hidden1[1], nn.Sigmoid)
    x = torch.randn(9, 5)
    assert torch.allclose(made.hidden1(x), (network.hidden1(x) + 1) / 2, atol=1e-6)
    before = made(x).clone()
    nn.init.zeros_(network.output.weight)
    assert torch.equal(made(x), before)


@pytest.mark.parametrize("widths", [(5, 3), (5, 7, 3)], ids=str)
def test_a_mean_that_is_subtracted_moves_into_the_first_bias(widths: tuple[int, ...]) -> None:
    network = tanh_network(widths, subtract_mean=True).double()
    network.centring.mean.copy_(torch.rand(5))
    x = torch.rand(9, 5, dtype=torch.float64)
    made = logistic_from_tanh(network)
    assert not hasattr(made, "centring")
    assert torch.allclose(made(x), network(x), atol=1e-13)


def test_dropout_is_left_behind() -> None:
    network = tanh_network((5, 7, 3), dropout=[0.2, 0.5]).eval()
    made = logistic_from_tanh(network)
    assert not made.training
    x = torch.rand(9, 5)
    assert torch.allclose(made.train()(x), network(x), atol=1e-5)


class Steeper(nn.Tanh):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 1.7159 * torch.tanh(2 * x / 3)


class Scaled(Classifier):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(2 * x - 1)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (nn.Sequential(nn.Linear(5, 3)), "only a Classifier can be made logistic"),
        (Classifier((5, 7, 3)), "only a network of torch.nn.Tanh units"),
        (Classifier((5, 7, 3), activation=Steeper), "only a network of torch.nn.Tanh units"),
        (Scaled((5, 7, 3), activation=nn.Tanh), "Scaled has a forward of its own"),
        (Classifier((5, 7, 3), activation=nn.Tanh, bias=False), "use bias=True"),
    ],
    ids=["another module", "relu", "another tanh", "another forward", "no biases"],
)
def test_another_network_is_refused(network: nn.Module, message: str) -> None:
    with pytest.raises(UserError, match=message):
        logistic_from_tanh(network)
