"""What people write into an attack's call: it works, or one line says what to write."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lit_intriguing.attacks import Attack, BoxLBFGS, GradientAttack, Targeted, Untargeted
from lit_intriguing.types import Bounds

EVERY_ATTACK = pytest.mark.parametrize("attack", [BoxLBFGS(), GradientAttack(0.5)])


def network() -> nn.Module:
    with torch.random.fork_rng([]):
        torch.manual_seed(4)
        return nn.Sequential(nn.Linear(5, 12), nn.Tanh(), nn.Linear(12, 3)).eval()


def examples() -> Tensor:
    return torch.rand(4, 5, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("labels", [[2, 0, 1, 1], np.array([2, 0, 1, 1], np.int16), (2, 0, 1, 1)])
def test_labels_may_be_lists_and_arrays(labels: object) -> None:
    expected = BoxLBFGS()(network(), examples(), Targeted(torch.tensor([2, 0, 1, 1])))
    found = BoxLBFGS()(network(), examples(), Targeted(labels))
    assert torch.equal(found.adversarial, expected.adversarial)


def test_no_labels_are_labels_of_no_examples() -> None:
    for none in ([], (), np.zeros(0, int), torch.zeros(0).long()):
        assert Untargeted(none).labels.dtype == torch.int64
        assert len(BoxLBFGS()(network(), examples()[:0], Untargeted(none)).success) == 0


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0.5, 1.0], "integer labels"),
        (["cat", "dog"], "integer labels of shape .* not list"),
        (np.zeros((2, 2), np.int64), r"shape \(2, 2\)"),
        (3, "integer labels"),
        (None, "integer labels of shape .* not NoneType"),
    ],
)
def test_what_holds_no_labels_is_refused(labels: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Untargeted(labels)


@EVERY_ATTACK
def test_bounds_may_be_a_pair(attack: Attack) -> None:
    x, criterion = examples() * 0.5, Untargeted([0, 1, 2, 0])
    expected = attack(network(), x, criterion, bounds=Bounds(-1.0, 0.5))
    for pair in ((-1, 0.5), [-1.0, 0.5]):
        assert torch.equal(attack(network(), x, criterion, bounds=pair).adversarial,
                           expected.adversarial)  # fmt: skip


@EVERY_ATTACK
@pytest.mark.parametrize("bounds", [1.0, (0.0,), "0 1", {0: 1}, torch.tensor([0.0, 1.0])])
def test_other_bounds_are_refused(attack: Attack, bounds: object) -> None:
    with pytest.raises(ValueError, match=r"bounds must be Bounds\(lower, upper\) or a pair"):
        attack(network(), examples(), Untargeted([0] * 4), bounds=bounds)


@EVERY_ATTACK
@pytest.mark.parametrize("labels", [torch.zeros(4).long(), [0] * 4, np.zeros(4, int), None])
def test_labels_in_place_of_a_criterion_are_refused(attack: Attack, labels: object) -> None:
    with pytest.raises(
        ValueError, match=r"must be Untargeted\(labels\).*Targeted\(labels\).*not a "
    ):
        attack(network(), examples(), labels)


@EVERY_ATTACK
def test_arrays_in_place_of_examples_are_refused(attack: Attack) -> None:
    with pytest.raises(ValueError, match=r"a ndarray: .*torch\.as_tensor\(x\)\.float\(\)"):
        attack(network(), examples().numpy(), Untargeted([0] * 4))


@EVERY_ATTACK
@pytest.mark.parametrize("label", [-100, -1, 3, 999])
@pytest.mark.parametrize("criterion", [Targeted, Untargeted])
def test_labels_that_the_model_does_not_have_are_refused(
    attack: Attack, label: int, criterion: type
) -> None:
    with pytest.raises(ValueError, match=f"between 0 and 2, .* they go from .*{label}"):
        attack(network(), examples(), criterion([1, label, 0, 1]))


@pytest.mark.parametrize("norm", ["inf", math.inf])
def test_the_largest_norm_may_be_a_string(norm: float) -> None:
    attack = GradientAttack(0.1, norm=norm)
    assert attack.norm == math.inf
    assert repr(attack) == "GradientAttack(eps=0.1, norm=inf)"


@pytest.mark.parametrize("norm", ["Linf", 1, "1", None])
def test_other_norms_are_refused(norm: object) -> None:
    with pytest.raises(ValueError, match=r"norm must be (2 or|a number or 'inf', not None)"):
        GradientAttack(0.1, norm=norm)


@EVERY_ATTACK
def test_an_example_with_nan_fails_alone_in_a_box(attack: Attack) -> None:
    x, criterion = examples(), Untargeted(network()(examples()).argmax(1))
    spoilt, good = x.clone(), torch.tensor([0, 1, 3])
    spoilt[2, 1] = math.nan
    found = attack(network(), spoilt, criterion)
    alone = attack(network(), x[good], criterion.select(good))
    torch.testing.assert_close(found.adversarial[good], alone.adversarial)
    torch.testing.assert_close(found.adversarial[2], spoilt[2], equal_nan=True)
    assert not found.success[2]
    # The others must lie in the box all the same.
    with pytest.raises(ValueError, match=r"range from .* to 1.5 and leave the bounds"):
        attack(network(), torch.where(spoilt == x.max(), 1.5, spoilt), criterion)
