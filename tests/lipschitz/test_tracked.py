"""A network's estimate between certifications: right for a chain, from power steps alone."""

import math

import pytest
import torch
from torch import Tensor, nn

from lit_intriguing.lipschitz import network_norm, operator_norm
from lit_intriguing.lipschitz.tracked import TrackedNorm, estimated_norm

SHAPE = (2, 6, 6)


def chain() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, stride=2, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(),
        nn.Linear(36, 5), nn.Sigmoid(), nn.Linear(5, 3),
    ).eval()  # fmt: skip


class Sum(nn.Module):
    """Two branches."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.one, self.two = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.one(x) + self.two(x)


@pytest.mark.parametrize(("model", "shape"), [(chain(), SHAPE), (Sum(), (4,))])
def test_an_estimate_of_the_network_is_close_to_its_bound_and_called_one(
    model: nn.Module, shape: tuple[int, ...]
) -> None:
    bound = network_norm(model, shape, joint=False).product
    estimate = network_norm(model, shape, joint=False, layer_norm=estimated_norm).product
    assert estimate.kind == "estimate"
    assert 0.9 * bound.value < estimate.value < 1.001 * bound.value


def test_what_is_no_linear_layer_is_asked_by_its_rule() -> None:
    assert estimated_norm(nn.Sigmoid(), (3,)) == operator_norm(nn.Sigmoid(), (3,))
    assert "no rule" in estimated_norm(nn.LSTM(3, 4), (5, 3)).reason
    # Without a shape no power step can be taken of a convolution; its rule does without.
    conv = nn.Conv2d(2, 4, 3)
    assert estimated_norm(conv, None) == operator_norm(conv)


def test_weights_that_are_no_numbers_have_no_estimate() -> None:
    layer = nn.Linear(3, 2)
    nn.init.constant_(layer.weight, math.nan)
    assert math.isinf(estimated_norm(layer, (3,)).value)


def test_the_estimate_of_a_chain_follows_its_weights_from_bound_and_from_estimate() -> None:
    model = chain()
    certified, estimated = TrackedNorm(), TrackedNorm()
    assert not certified.started
    certified.start(model, network_norm(model, SHAPE))
    estimated.start(model, network_norm(model, SHAPE, layer_norm=estimated_norm))
    assert certified.started
    with torch.no_grad():
        model[0].weight *= 3
        model[6].weight *= 0.5
    true = network_norm(model, SHAPE).product.value
    for tracked in (certified, estimated):
        found = tracked.step(model)
        assert set(found) == {"0", "4", "6"}
        assert tracked.network(found) == pytest.approx(true, rel=0.1)
    assert certified.network(certified.step(model)) == pytest.approx(true, rel=0.02)


def test_a_network_without_linear_layers_has_started_all_the_same() -> None:
    model, tracked = nn.Sequential(nn.ReLU(), nn.Sigmoid()), TrackedNorm()
    tracked.start(model, network_norm(model, (3,)))
    assert tracked.started
    assert tracked.network(tracked.step(model)) == 0.25


def test_an_infinite_bound_stays_infinite() -> None:
    model, tracked = nn.Sequential(nn.Linear(3, 3), nn.LSTM(3, 4)), TrackedNorm()
    tracked.start(model, network_norm(model, (5, 3)))
    assert tracked.network(tracked.step(model)) == math.inf


def test_a_batch_norm_that_is_folded_into_a_layer_counts_in_its_estimate() -> None:
    model = chain()
    model[1].running_var.fill_(1e-2)
    tracked = TrackedNorm()
    tracked.start(model, network_norm(model, SHAPE, joint=False))
    found = network_norm(model, SHAPE, joint=False)
    bound = next(one for one in found.layers if one.name == "0")
    assert next(one for one in found.layers if one.name == "1").folded_into == "0"
    assert tracked.step(model, 50)["0"] == pytest.approx(bound.norm.value, rel=1e-3)
    before = tracked.network(tracked.step(model))
    model[1].running_var.fill_(1e-4)
    after = tracked.network(tracked.step(model, 50))
    assert after / before == pytest.approx(
        network_norm(model, SHAPE, joint=False).product.value / found.product.value, rel=1e-2
    )


def test_a_batch_norm_without_finite_statistics_makes_no_estimate_and_no_error() -> None:
    model = chain()
    tracked = TrackedNorm()
    tracked.start(model, network_norm(model, SHAPE, joint=False))
    model[1].running_var.fill_(math.nan)
    assert math.isnan(tracked.step(model)["0"])
