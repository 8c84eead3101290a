"""The sealed call: what it verifies, what it leaves alone, and independent rows."""

import contextlib
import math

import pytest
import torch
from torch import Tensor, nn

from lit_intriguing.attacks import (
    Attack,
    BoxLBFGS,
    Found,
    GaussianNoise,
    GradientAttack,
    Targeted,
    Untargeted,
)
from lit_intriguing.attacks.arguments import check_inside
from lit_intriguing.attacks.base import per_row
from lit_intriguing.types import UNBOUNDED, Bounds

FEATURES, CLASSES = 6, 4
ATTACKS = {
    "FGM": GradientAttack(0.3),
    "FGSM": GradientAttack(0.1, math.inf),
    "PGD L2": GradientAttack(0.3, steps=3),
    "PGD Linf": GradientAttack(0.1, math.inf, steps=3),
}
EVERY_ATTACK = pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(FEATURES, 8), nn.Tanh(), nn.Linear(8, CLASSES)).eval()


def examples(rows: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(rows)
    x = torch.rand(rows, FEATURES, generator=generator)
    return x, torch.randint(CLASSES, (rows,), generator=generator)


class Proposes(Attack):
    """Hands the shell what it is given."""

    def __init__(self, adversarial: Tensor) -> None:
        self.adversarial = adversarial

    def search(self, model: object, x: Tensor, criterion: object, **options: object) -> Found:
        return Found(self.adversarial, torch.zeros(len(x), dtype=torch.int64))


@EVERY_ATTACK
@pytest.mark.parametrize("rows", [0, 1, 7])
@pytest.mark.parametrize("criterion", [Targeted, Untargeted])
def test_batch_gives_what_one_by_one_gives(attack: Attack, rows: int, criterion: type) -> None:
    net, (x, y) = network(), examples(rows)
    whole = attack(net, x, criterion(y))
    assert whole.adversarial.shape == x.shape
    assert whole.success.shape == whole.queries.shape == whole.distortion.shape == (rows,)
    assert whole.success.dtype == torch.bool
    assert whole.queries.dtype == torch.int64
    for i in range(rows):
        one = attack(net, x[i : i + 1], criterion(y[i : i + 1]))
        torch.testing.assert_close(whole.adversarial[i : i + 1], one.adversarial)
        assert whole.success[i] == one.success[0]


@EVERY_ATTACK
def test_permuted_batch_gives_permuted_results(attack: Attack) -> None:
    net, (x, y) = network(), examples(7)
    order = torch.tensor([3, 1, 6, 0, 2, 5, 4])
    straight, permuted = attack(net, x, Untargeted(y)), attack(net, x[order], Untargeted(y[order]))
    torch.testing.assert_close(straight.adversarial[order], permuted.adversarial)
    assert torch.equal(straight.success[order], permuted.success)


@EVERY_ATTACK
def test_row_with_nan_harms_no_other(attack: Attack) -> None:
    net, (x, y) = network(), examples(7)
    spoilt = x.clone()
    spoilt[2, 1] = math.nan
    good = [0, 1, 3, 4, 5, 6]
    found = attack(net, spoilt, Untargeted(y), bounds=UNBOUNDED)
    alone = attack(net, x[good], Untargeted(y[good]), bounds=UNBOUNDED)
    torch.testing.assert_close(found.adversarial[good], alone.adversarial)
    torch.testing.assert_close(found.adversarial[2], spoilt[2], equal_nan=True)
    assert not found.success[2]


def test_success_is_verified_on_exactly_the_tensor_handed_back() -> None:
    net, x = network(), examples(7)[0]
    seen: list[Tensor] = []

    def watched(x: Tensor) -> Tensor:
        seen.append(x)
        return net(x)

    criterion = Untargeted(net(x).argmax(1))
    found = GradientAttack(1.0)(watched, x, criterion)
    assert torch.equal(seen[-1], found.adversarial)
    assert torch.equal(found.success, criterion.met(net(found.adversarial)))
    assert found.success.any()
    assert not found.success.all()
    assert not found.adversarial.requires_grad
    assert torch.equal(found.clean, x)


def test_success_counts_after_the_clamp_only() -> None:
    def model(x: Tensor) -> Tensor:
        return torch.cat([x, 2 - x], 1)

    x = torch.full((2, 1), 0.5)
    found = Proposes(torch.tensor([[5.0], [-5.0]]))(model, x, Targeted(torch.tensor([0, 1])))
    assert found.adversarial.tolist() == [[1.0], [0.0]]
    assert found.success.tolist() == [True, True]
    wanted = Targeted(torch.tensor([0, 0]))
    unclamped = Proposes(torch.tensor([[5.0], [0.9]]))(model, x, wanted, bounds=Bounds(0, 0.8))
    assert unclamped.success.tolist() == [False, False]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_proposal_that_is_not_finite_becomes_the_clean_row_without_success(bad: float) -> None:
    x = torch.full((3, 2), 0.5)
    proposal = torch.tensor([[0.1, 0.9], [0.1, bad], [0.9, 0.1]])
    found = Proposes(proposal)(lambda x: x, x, Targeted(torch.tensor([1, 0, 1])), bounds=UNBOUNDED)
    assert torch.equal(found.adversarial[1], x[1])
    assert torch.equal(found.adversarial[0], proposal[0])
    assert found.success.tolist() == [True, False, False]


@pytest.mark.parametrize("attack", [*ATTACKS.values(), GaussianNoise(0.1)])
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, contextlib.nullcontext])
def test_attacks_work_where_gradients_are_off(attack: Attack, mode: type) -> None:
    net = network()
    expected = attack(net, *_with_criterion(examples(7)))
    with mode():
        x, y = examples(7)
        found = attack(net, *_with_criterion((x.clone(), y.clone())))
        assert torch.equal(found.adversarial, expected.adversarial)
        assert torch.equal(found.success, expected.success)
        selected = Untargeted(y.clone()).select(torch.tensor([0, 1]))
        assert len(attack(net, x[:2].clone(), selected).success) == 2


def _with_criterion(batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Untargeted]:
    return batch[0], Untargeted(batch[1])


@pytest.mark.parametrize(
    "attack", [*ATTACKS.values(), GaussianNoise(0.1), GradientAttack(0.3, random_start=True)]
)
def test_no_trace_is_left(attack: Attack) -> None:
    net, (x, y) = network(), examples(7)
    net[0].weight.grad = torch.ones_like(net[0].weight)
    kept, random, modes = x.clone(), torch.get_rng_state(), [m.training for m in net.modules()]
    parameters = [p.clone() for p in net.parameters()]
    found = attack(net, x, Untargeted(y))
    assert torch.equal(torch.get_rng_state(), random)
    assert torch.equal(x, kept)
    assert not x.requires_grad
    assert torch.equal(net[0].weight.grad, torch.ones_like(net[0].weight))
    assert all(p.grad is None for p in [net[0].bias, *net[2].parameters()])
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), parameters, strict=True))
    assert [m.training for m in net.modules()] == modes
    assert found.adversarial.data_ptr() != x.data_ptr()


@pytest.mark.parametrize(
    "attack", [GaussianNoise(0.1), GradientAttack(0.3, steps=2, random_start=True)]
)
def test_randomness_comes_from_the_generator_alone(attack: Attack) -> None:
    net, (x, y) = network(), examples(7)

    def run(seed: int | None) -> Tensor:
        source = None if seed is None else torch.Generator().manual_seed(seed)
        return attack(net, x, Untargeted(y), generator=source).adversarial

    assert torch.equal(run(1), run(1))
    assert not torch.equal(run(1), run(2))
    assert torch.equal(run(None), run(0))


def test_criterion_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="3 examples, but the criterion has 2 labels"):
        GradientAttack(0.1)(network(), torch.rand(3, FEATURES), Targeted(torch.tensor([0, 1])))


def test_inputs_outside_the_bounds_are_refused_with_their_range_and_a_hint() -> None:
    x = torch.tensor([[-2.0, 0.5], [0.5, 2.5]])
    with pytest.raises(ValueError, match=r"range from -2 to 2.5 .* bounds 0.0 .. 1.0.*per channel"):
        GradientAttack(0.1)(lambda x: x, x, Targeted(torch.tensor([0, 1])))


def test_pixels_of_0_to_255_are_told_from_normalised_ones_and_the_advice_works() -> None:
    x = torch.tensor([[0.0, 128.0], [3.0, 255.0]])
    goal = Targeted(torch.tensor([0, 1]))
    with pytest.raises(ValueError, match="divide them by 255, or give upper=255"):
        GradientAttack(0.1)(lambda x: x, x, goal)
    GradientAttack(0.1)(lambda x: x, x / 255, goal)
    GradientAttack(0.1)(lambda x: x, x, goal, bounds=Bounds(upper=255))


def test_inputs_may_leave_the_bounds_by_rounding_relative_to_the_box() -> None:
    check_inside(torch.tensor([[1 + 5e-7, -5e-7]]), Bounds())
    check_inside(torch.tensor([[255.00005]]), Bounds(0.0, 255.0))
    check_inside(torch.tensor([[1e30]]), UNBOUNDED)
    check_inside(torch.tensor([[1e30]]), Bounds(0.0, math.inf))
    for x, bounds in ((1.001, Bounds()), (255.1, Bounds(0, 255)), (-0.1, Bounds(0, math.inf))):
        with pytest.raises(ValueError, match="leave the bounds"):
            check_inside(torch.tensor([[x]]), bounds)


def test_values_per_row_broadcast_over_the_rest() -> None:
    assert per_row(torch.ones(3), torch.zeros(3, 2, 4)).shape == (3, 1, 1)
    assert per_row(torch.ones(3), torch.zeros(3, 2)).shape == (3, 1)


@pytest.mark.parametrize("attack", [*ATTACKS.values(), BoxLBFGS(), GaussianNoise(0.1)])
@pytest.mark.parametrize(
    ("odd", "message"),
    [
        (lambda logits: (logits, logits), "returned a tuple, not a tensor of logits"),
        (lambda logits: logits[:, 0], r"of shape \(3,\) for 3 examples"),
        (lambda logits: logits[:2], r"of shape \(2, 4\) for 3 examples"),
        (lambda logits: logits.argmax(1, keepdim=True), r"torch.int64 of shape \(3, 1\)"),
    ],
    ids=["tuple", "one number a row", "rows lost", "classes, not logits"],
)
def test_a_model_that_returns_no_logits_is_refused(attack: Attack, odd, message: str) -> None:  # type: ignore[no-untyped-def]
    net, (x, y) = network(), examples(3)
    with pytest.raises(ValueError, match=message):
        attack(lambda batch: odd(net(batch)), x, Untargeted(y))
