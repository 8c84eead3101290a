"""Attacks and bounds on a device give what they give on the CPU."""

import pytest
import torch
from torch import nn

from lit_intriguing.attacks import BoxLBFGS, GradientAttack, TrueLabels
from lit_intriguing.attacks.attack_tensors import attack_tensors
from lit_intriguing.data import Digits
from lit_intriguing.lipschitz import network_norm
from tests.gpu.training import DEVICES


def network() -> nn.Sequential:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 10))
    train, _ = Digits().load_training()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(60):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(train.inputs), train.labels).backward()
        optimizer.step()
    return model.eval()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("attack", [BoxLBFGS(), GradientAttack(0.5, steps=5)], ids=repr)
def test_examples_are_those_of_the_cpu(device: str, attack: BoxLBFGS | GradientAttack) -> None:
    images, labels = Digits().load_test().inputs[:40], Digits().load_test().labels[:40]
    model = network()
    expected = attack_tensors(model, attack, images, labels, goal=TrueLabels())
    model.to(device)
    found = attack_tensors(model, attack, images.to(device), labels.to(device), goal=TrueLabels())
    # Rounding may lead a search to another border: nearly all end at the same distance.
    near = torch.isclose(found.distortion, expected.distortion, rtol=1e-2, atol=1e-5)
    assert float((near & (found.success == expected.success)).double().mean()) >= 0.95
    assert found.adversarial.device.type == "cpu"


@pytest.mark.parametrize("device", DEVICES)
def test_bounds_are_those_of_the_cpu(device: str) -> None:
    model = network()
    expected = network_norm(model, (1, 8, 8)).norm.value
    found = network_norm(model.to(device), (1, 8, 8)).norm.value
    assert found == pytest.approx(expected, rel=1e-4)
