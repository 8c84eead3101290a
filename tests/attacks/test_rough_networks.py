"""Rough networks: with normalisation layers, beside DDN; with plateaus, where steps fall short."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from lit_intriguing.attacks import BoxLBFGS, Targeted
from tests.oracle_attacks import ddn

NORMALISATION = {
    "BatchNorm": nn.BatchNorm2d,
    "GroupNorm": lambda channels: nn.GroupNorm(4, channels),
}


def trained(normalised, epochs: int, seed: int) -> tuple[nn.Sequential, torch.Tensor, torch.Tensor]:
    """A small convolutional network after some epochs on digits, with what it gets right."""
    digits = pytest.importorskip("sklearn.datasets").load_digits()
    images = torch.from_numpy(digits.images).float().unsqueeze(1) / 16
    labels = torch.from_numpy(digits.target)
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        net = nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1), normalised(8), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(8, 16, 3, padding=1), normalised(16), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(64, 48), nn.BatchNorm1d(48), nn.ReLU(), nn.Linear(48, 10),
        )  # fmt: skip
        optimiser = torch.optim.Adam(net.parameters(), 3e-3)
        for _ in range(epochs):
            for rows in torch.randperm(1500).split(50):
                optimiser.zero_grad()
                F.cross_entropy(net(images[rows]), labels[rows]).backward()
                optimiser.step()
    net.eval().requires_grad_(False)
    right = 1500 + (net(images[1500:1580]).argmax(1) == labels[1500:1580]).nonzero().squeeze(1)
    return net, images[right], labels[right]


@pytest.mark.integration
@pytest.mark.parametrize("epochs", [1, 5])
@pytest.mark.parametrize("normalised", NORMALISATION.values(), ids=NORMALISATION)
def test_examples_are_as_near_as_those_of_ddn(normalised, epochs: int) -> None:
    net, x, labels = trained(normalised, epochs, seed=1)
    assert len(x) >= 25
    targets = (labels + 1 + torch.arange(len(x)) % 9) % 10
    found = BoxLBFGS()(net, x, Targeted(targets))
    assert found.success.all()
    distance = (found.adversarial - x).flatten(1).norm(dim=1)
    nearest = torch.minimum(ddn(net, x, targets), ddn(net, x, targets, rate=0.3))
    assert distance.mean() <= 1.005 * nearest.mean()
    assert (distance / nearest).quantile(0.9) <= 1.05
    assert found.queries.double().mean() <= 90
    once = BoxLBFGS(second_search=False)(net, x, Targeted(targets))
    assert (once.distortion >= 0.99 * found.distortion).all()
    assert once.distortion.mean() > found.distortion.mean()
    assert once.queries.double().mean() <= 45


@pytest.mark.parametrize(("lower", "upper"), [(-1.0, 1.0), (0.0, 255.0)])
def test_the_units_of_the_box_and_of_the_logits_change_nothing(lower: float, upper: float) -> None:
    net, x, labels = trained(nn.BatchNorm2d, 1, seed=1)
    targets, width = Targeted((labels + 1) % 10), upper - lower
    plain = BoxLBFGS()(net, x, targets).distortion
    other = BoxLBFGS()(
        lambda z: 100 * net((z - lower) / width), lower + width * x, targets, bounds=(lower, upper)
    )
    assert other.success.all()
    ratio = other.distortion / width / plain
    # Rounding alone decides between local minima, in few rows.
    assert ratio.quantile(0.1) > 0.97
    assert ratio.quantile(0.9) < 1.03


def plateaus(activation: type[nn.Module], seed: int) -> nn.Sequential:
    """Three layers so steep that most units are saturated, or dead, nearly everywhere."""
    linear = [nn.Linear(12, 8), nn.Linear(8, 8), nn.Linear(8, 4)]
    with torch.random.fork_rng([]), torch.no_grad():
        torch.manual_seed(seed)
        for layer in linear:
            nn.init.orthogonal_(layer.weight, 6.0)
            layer.bias.copy_(-0.5 * layer.weight.sum(1))
    net = nn.Sequential(linear[0], activation(), linear[1], activation(), linear[2])
    return net.requires_grad_(False)


@pytest.mark.integration
@pytest.mark.parametrize(
    ("mode", "activation", "least"),
    [("fast", nn.Tanh, 0.99), ("paper", nn.Tanh, 0.98), ("fast", nn.ReLU, 0.95)],
)
@pytest.mark.parametrize("seed", [0, 2])
def test_plateaus_are_left(mode, activation: type[nn.Module], least: float, seed: int) -> None:
    net = plateaus(activation, seed)
    x = torch.rand(200, 12, generator=torch.Generator().manual_seed(1))
    targets = (net(x).argmax(1) + 1 + torch.arange(200) % 3) % 4
    found = BoxLBFGS(mode)(net, x, Targeted(targets))
    assert found.success.float().mean() >= least
