"""Power iteration: close to the dense SVD, its gradient that of the norm, no trace elsewhere."""

import copy
import math

import pytest
import torch
from torch import Tensor, nn

from lit_intriguing.lipschitz.linear_map import linear_map
from lit_intriguing.lipschitz.power import PowerIteration
from lit_intriguing.lipschitz.registry import CannotBoundError

LAYERS = {
    "linear": (nn.Linear(7, 5), (7,)),
    "rows": (nn.Linear(7, 5), (3, 7)),
    "strided": (nn.Conv2d(2, 3, 3, stride=2, padding=1), (2, 6, 5)),
    "grouped": (nn.Conv1d(4, 4, 3, groups=2), (4, 9)),
    "transposed": (nn.ConvTranspose2d(3, 2, 3, stride=2), (3, 4, 4)),
    "reflected": (nn.Conv2d(1, 2, 3, padding=1, padding_mode="reflect"), (1, 5, 5)),
}


def dense_norm(layer: nn.Module, shape: tuple[int, ...]) -> Tensor:
    """The norm by SVD of the layer's matrix, found column by column through its own forward."""
    layer = copy.deepcopy(layer).double()
    zero = torch.zeros(1, *shape, dtype=torch.float64)
    units = torch.eye(zero.numel(), dtype=torch.float64).view(-1, *shape)
    columns = (layer(units) - layer(zero)).flatten(1)
    return torch.linalg.matrix_norm(columns, 2)


def fresh(name: str) -> tuple[nn.Module, tuple[int, ...]]:
    layer, shape = LAYERS[name]
    torch.manual_seed(3)
    layer.float().reset_parameters()
    return layer, shape


@pytest.mark.parametrize("name", LAYERS)
def test_many_steps_find_the_norm_of_the_true_operator(name: str) -> None:
    layer, shape = fresh(name)
    power = PowerIteration(shape)
    estimate = power.step(layer.double(), 500)
    assert power.norm(layer).item() == pytest.approx(dense_norm(layer, shape).item(), rel=1e-6)
    assert estimate.item() == pytest.approx(dense_norm(layer, shape).item(), rel=1e-6)


@pytest.mark.parametrize("name", LAYERS)
def test_each_step_comes_nearer_from_below(name: str) -> None:
    layer, shape = fresh(name)
    layer.double()
    power, true = PowerIteration(shape), dense_norm(layer, shape).item()
    found = [power.step(layer).item() for _ in range(10)]
    assert found == sorted(found)
    assert 0.3 * true < found[0] <= true * (1 + 1e-12)


def test_a_step_is_one_application_and_one_adjoint(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[str] = []
    layer = nn.Linear(4, 3)
    expected = linear_map(layer, None)
    counted = type(expected)(
        expected.domain,
        expected.codomain,
        lambda x: called.append("apply") or expected.apply(x),
        lambda y: called.append("adjoint") or expected.adjoint(y),
    )
    monkeypatch.setattr("lit_intriguing.lipschitz.power.linear_map", lambda *args: counted)
    PowerIteration().step(layer, 3)
    assert called == ["apply", "adjoint"] * 3


def test_warm_steps_follow_a_drift_of_a_percent_a_step() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(60, 50).double()
    power = PowerIteration()
    power.step(layer, 200)
    direction = torch.randn_like(layer.weight)
    with torch.no_grad():
        for _ in range(30):
            layer.weight += 0.01 * layer.weight.norm() / direction.norm() * direction
            estimate = power.step(layer).item()
    assert estimate == pytest.approx(dense_norm(layer, (60,)).item(), rel=5e-3)


@pytest.mark.parametrize("name", LAYERS)
def test_the_gradient_is_that_of_the_norm_by_finite_differences(name: str) -> None:
    layer, shape = fresh(name)
    layer.double()
    power = PowerIteration(shape)
    power.step(layer, 2000)
    (gradient,) = torch.autograd.grad(power.norm(layer), layer.weight)
    direction = torch.randn_like(layer.weight)
    values = []
    for sign in (1, -1):
        moved = 1e-5 * sign * direction
        with torch.no_grad():
            layer.weight += moved
            values.append(dense_norm(layer, shape).item())
            layer.weight -= moved
    slope = (values[0] - values[1]) / 2e-5
    assert (gradient * direction).sum().item() == pytest.approx(slope, rel=1e-4, abs=1e-6)


def test_a_layer_of_zeros_has_norm_nought_and_no_gradient() -> None:
    layer = nn.Linear(3, 2)
    nn.init.zeros_(layer.weight)
    power = PowerIteration()
    assert power.step(layer, 3).item() == 0
    norm = power.norm(layer)
    (gradient,) = torch.autograd.grad(norm, layer.weight)
    assert norm.item() == 0
    assert torch.equal(gradient, torch.zeros_like(gradient))
    nn.init.ones_(layer.weight)
    assert power.step(layer, 20).item() == pytest.approx(6**0.5, rel=1e-6)


def test_global_randomness_and_the_layer_stay_as_they_are() -> None:
    layer = nn.Conv2d(2, 2, 3)
    state, weight = torch.get_rng_state(), layer.weight.clone()
    power = PowerIteration((2, 5, 5), seed=4)
    power.step(layer, 5)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(layer.weight, weight)
    assert layer.weight.grad is None
    torch.manual_seed(77)
    other = PowerIteration((2, 5, 5), seed=4)
    other.step(layer, 5)
    assert torch.equal(other.vector, power.vector)


def test_autocast_leaves_no_mark_on_the_estimate() -> None:
    torch.manual_seed(1)
    layer = nn.Linear(40, 30)
    expected = PowerIteration().step(layer, 10)
    with torch.autocast("cpu", torch.bfloat16):
        power = PowerIteration()
        assert torch.equal(power.step(layer, 10), expected)
        assert power.norm(layer).dtype == torch.float32


def test_half_precision_weights_are_followed_in_float32() -> None:
    torch.manual_seed(1)
    layer = nn.Linear(40, 30).bfloat16()
    power = PowerIteration()
    estimate = power.step(layer, 300)
    assert estimate.dtype == torch.float32
    assert estimate.item() == pytest.approx(dense_norm(layer, (40,)).item(), rel=1e-4)
    assert torch.autograd.grad(power.norm(layer), layer.weight)[0].dtype == torch.bfloat16


def test_the_direction_goes_on_from_where_another_left_it() -> None:
    layer = nn.Linear(6, 5)
    first, second = PowerIteration(), PowerIteration(seed=9)
    first.step(layer, 2)
    second.vector = first.vector
    assert torch.equal(first.step(layer), second.step(layer))


def test_what_is_no_linear_map_is_refused() -> None:
    with pytest.raises(CannotBoundError, match="ReLU"):
        PowerIteration().step(nn.ReLU())
    with pytest.raises(ValueError, match="Conv1d"):
        PowerIteration().step(nn.Conv1d(2, 2, 3))


@pytest.mark.parametrize("factor", [1e11, 1e25, 1e38, math.inf, math.nan])
def test_weights_beyond_all_measure_do_not_cost_the_direction(factor: float) -> None:
    torch.manual_seed(2)
    layer, power = nn.Linear(20, 20), PowerIteration()
    before = power.step(layer, 200)
    original = layer.weight.detach().clone()
    layer.weight.data.mul_(factor)
    high = power.step(layer)
    assert not high.isfinite() or high.item() == pytest.approx(before.item() * factor, rel=1e-3)
    layer.weight.data.copy_(original)
    assert power.step(layer).item() == pytest.approx(before.item(), rel=1e-3)
