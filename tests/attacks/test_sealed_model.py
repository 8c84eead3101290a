"""The model as an attack sees it: inputs edited in place, one logit, training mode."""

import warnings

import pytest
import torch
from torch import Tensor, nn

from lit_intriguing.attacks import (
    Attack,
    BoxLBFGS,
    FromCallable,
    GaussianNoise,
    GradientAttack,
    Untargeted,
)
from lit_intriguing.attacks.sealed_model import TrainingModeWarning

ATTACKS = {
    "fast": BoxLBFGS(),
    "paper": BoxLBFGS("paper"),
    "FGM": GradientAttack(0.5),
    "PGD": GradientAttack(0.5, steps=3),
    "noise": GaussianNoise(0.05),
    "a function": FromCallable(lambda model, x, criterion, **_: x * 0.5 + 0 * model(x).sum()),
}
EVERY_ATTACK = pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)


def network(*middle: nn.Module, classes: int = 3) -> nn.Sequential:
    with torch.random.fork_rng([]):
        torch.manual_seed(2)
        return nn.Sequential(nn.Linear(6, 10), *middle, nn.ReLU(), nn.Linear(10, classes))


def examples() -> Tensor:
    return torch.rand(5, 6, generator=torch.Generator().manual_seed(3))


class InPlace(nn.Module):
    """Normalises the images that it is given themselves."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x.mul_(3.0).add_(-1.0))


@EVERY_ATTACK
def test_a_model_that_edits_its_input_gives_what_one_that_does_not_gives(attack: Attack) -> None:
    net, x = network().eval(), examples()
    kept = x.clone()
    criterion = Untargeted(net(x * 3.0 - 1.0).argmax(1))
    found = attack(InPlace(net).eval(), x, criterion)
    expected = attack(lambda x: net(x * 3.0 - 1.0), x, criterion)
    assert torch.equal(x, kept)
    assert torch.equal(found.clean, kept)
    torch.testing.assert_close(found.adversarial, expected.adversarial)
    assert torch.equal(found.success, expected.success)
    assert torch.equal(found.success, criterion.met(net(found.adversarial * 3.0 - 1.0)))


@EVERY_ATTACK
def test_one_column_of_logits_is_refused(attack: Attack) -> None:
    with pytest.raises(ValueError, match=r"one column of logits.*torch\.cat\(\[-z, z\], 1\)"):
        attack(network(classes=1).eval(), examples(), Untargeted([0] * 5))


def test_the_two_columns_that_the_message_tells_of_work() -> None:
    one, x = network(classes=1).eval(), examples()

    def two(x: Tensor) -> Tensor:
        z = one(x)
        return torch.cat([-z, z], 1)

    labels = (one(x).squeeze(1) > 0).long()
    assert torch.equal(two(x).argmax(1), labels)
    found = BoxLBFGS()(two, x, Untargeted(labels))
    assert found.success.any()
    after = (one(found.adversarial).squeeze(1) > 0).long()
    assert torch.equal(after != labels, found.success)


@pytest.mark.parametrize(
    ("attack", "layer"),
    [
        (ATTACKS["fast"], nn.Dropout(0.5)),
        (ATTACKS["FGM"], nn.Dropout(0.5)),
        (ATTACKS["FGM"], nn.BatchNorm1d(10)),
        (ATTACKS["noise"], nn.BatchNorm1d(10)),
    ],
    ids=["fast", "FGM", "FGM with statistics", "noise"],
)
def test_a_model_in_training_mode_is_warned_of(attack: Attack, layer: nn.Module) -> None:
    net, x = network(layer).train(), examples()
    with pytest.warns(TrainingModeWarning, match=rf"training mode: 1 \({type(layer).__name__}\)"):
        attack(net, x, Untargeted([0] * 5))
    assert net.training


@EVERY_ATTACK
def test_a_model_to_which_the_mode_is_nothing_is_not_warned_of(attack: Attack) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        attack(network().train(), examples(), Untargeted([0] * 5))
        attack(network(nn.Dropout(0.5)).eval(), examples(), Untargeted([0] * 5))
