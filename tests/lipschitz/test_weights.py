"""Weights that are computed before each forward, in float64 whatever the parameters' type."""

from collections.abc import Callable
from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize, prune, spectral_norm, weight_norm

from lit_intriguing.lipschitz import network_norm, operator_norm
from lit_intriguing.lipschitz.weights import finite_weight, forward_weight
from tests.lipschitz import truth


def pruned(layer: nn.Module) -> nn.Module:
    return prune.l1_unstructured(layer, "weight", amount=0.3)


COMPUTED = {
    "weight_norm": parametrizations.weight_norm,
    "spectral_norm": parametrizations.spectral_norm,
    "hook weight_norm": weight_norm,
    "hook spectral_norm": spectral_norm,
    "pruned": pruned,
}


@pytest.mark.filterwarnings("ignore:.*weight_norm. is deprecated:FutureWarning")
@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", COMPUTED)
def test_a_computed_weight_is_that_of_the_parameters_in_float64(
    name: str, kind: torch.dtype
) -> None:
    torch.manual_seed(0)
    layer = COMPUTED[name](nn.Linear(64, 32))
    if "hook" not in name:
        layer = layer.to(kind)
    state = {key: value.clone() for key, value in layer.state_dict().items()}
    found = finite_weight(layer)
    assert all(torch.equal(value, state[key]) for key, value in layer.state_dict().items())
    exact = COMPUTED[name](nn.Linear(64, 32)).double()
    exact.load_state_dict(state)
    torch.testing.assert_close(found, forward_weight(exact).detach(), rtol=1e-13, atol=0)
    true = truth.norm(found)
    assert true * (1 - 1e-13) <= operator_norm(layer).value <= true * (1 + 1e-9)


def test_a_half_precision_weight_norm_is_not_read_from_its_rounded_result() -> None:
    torch.manual_seed(0)
    layer = parametrizations.weight_norm(nn.Linear(64, 32)).to(torch.bfloat16)
    rounded = truth.norm(layer.weight.detach().double())
    assert abs(operator_norm(layer).value / rounded - 1) > 1e-5
    assert operator_norm(layer) == operator_norm(deepcopy(layer).double())


class Complex(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return weight * 1j


@pytest.mark.parametrize("under", [torch.no_grad, torch.inference_mode])
def test_a_complex_parametrization_is_computed_in_complex128(under: Callable[[], object]) -> None:
    layer = nn.Linear(3, 2)
    parametrize.register_parametrization(layer, "weight", Complex(), unsafe=True)
    with under():
        found = finite_weight(layer)
    assert found.dtype == torch.complex128
    assert torch.equal(found.imag, layer.parametrizations.weight.original.detach().double())


def test_a_weight_cached_by_parametrize_is_not_taken_and_none_is_left_there() -> None:
    layer = nn.Linear(3, 3)
    parametrize.register_parametrization(layer, "weight", nn.Tanh())
    with parametrize.cached(), torch.no_grad():
        layer(torch.ones(1, 3))
        before = dict(parametrize._cache)
        layer.parametrizations.weight.original.mul_(10)
        true = layer.parametrizations.weight.original.double().tanh()
        norm = torch.linalg.matrix_norm(true, 2).item()
        assert operator_norm(layer).value == pytest.approx(norm)
        assert network_norm(nn.Sequential(layer), (3,)).norm.value == pytest.approx(norm)
        assert parametrize._cache == before
    assert not parametrize._cache
