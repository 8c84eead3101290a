"""HostLoss: attacks that follow a gradient ascend it, attacks that need a border refuse it."""

import pytest
import torch
from torch import Tensor

from lit_intriguing.attacks import (
    Attack,
    BoxLBFGS,
    FromCallable,
    GaussianNoise,
    GradientAttack,
    HostLoss,
    RandomTargets,
)
from lit_intriguing.attacks.base import NoBorderError
from lit_intriguing.errors import UserError
from lit_intriguing.types import UNBOUNDED

N = 4
WEIGHTS = torch.arange(1.0, N + 1)


def x() -> Tensor:
    return torch.randn(N, 3, generator=torch.Generator().manual_seed(0))


def shares(x: Tensor) -> Tensor:
    """Return minus each example's share of a host's loss, `sum_i w_i |x_i|^2 / N`."""
    return -(WEIGHTS * x.square().sum(1) / N).unsqueeze(1)


def criterion():
    return HostLoss()(torch.zeros(N).long(), torch.zeros(N, 1), torch.Generator())


def test_the_sum_of_the_column_is_minus_the_loss_and_there_is_no_success() -> None:
    column = shares(x())
    one = criterion()
    assert torch.equal(one.loss(column), column[:, 0])
    assert not one.met(column).any()
    assert (one.margin(column) == torch.inf).all()
    assert len(one.select(torch.tensor([2, 0]))) == 2


def test_a_gradient_step_ascends_the_loss_of_each_example() -> None:
    """The gradient of a squared length points away from zero, whatever the example's weight."""
    found = GradientAttack(eps=0.5)(shares, x(), criterion(), bounds=UNBOUNDED)
    away = x() * (1 + 0.5 / x().norm(dim=1, keepdim=True))
    torch.testing.assert_close(found.adversarial, away)
    assert not found.success.any()


def test_noise_needs_no_border() -> None:
    found = GaussianNoise(0.1)(shares, x(), criterion(), bounds=UNBOUNDED)
    assert not torch.equal(found.adversarial, x())


@pytest.mark.parametrize("attack", [BoxLBFGS(), FromCallable(lambda *_: None)], ids=repr)
def test_attacks_that_search_for_a_border_refuse_in_one_sentence(attack: Attack) -> None:
    with pytest.raises(NoBorderError, match=r"the host's loss has none: use GradientAttack") as it:
        attack(shares, x(), criterion(), bounds=UNBOUNDED)
    assert isinstance(it.value, UserError)
    assert str(it.value).count(". ") == 0


def test_two_goals_are_equal_if_their_options_are() -> None:
    assert HostLoss() == HostLoss(fresh=False) != HostLoss(fresh=True)
    assert HostLoss() != RandomTargets()
    assert repr(HostLoss(fresh=True)) == "HostLoss(fresh=True)"
    assert len({HostLoss(), HostLoss(), HostLoss(True)}) == 2
