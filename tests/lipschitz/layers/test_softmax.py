import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from lit_intriguing.lipschitz import operator_norm
from tests.lipschitz import truth

logits = st.lists(st.floats(-30, 30, allow_subnormal=False), min_size=1, max_size=8)


@pytest.mark.parametrize("layer", [nn.Softmax(1), nn.Softmin(-1), nn.LogSoftmax(1)])
@given(values=logits)
@settings(max_examples=50, deadline=None)
def test_no_jacobian_is_steeper(layer: nn.Module, values: list[float]) -> None:
    x = torch.tensor(values, dtype=torch.float64)
    found = truth.norm(truth.jacobian(layer, x))
    assert found <= operator_norm(layer, (len(values),)).value + 1e-14


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_two_equal_logits_reach_one_half(classes: int) -> None:
    x = torch.tensor([0.0, 0.0, *[-100.0] * (classes - 2)], dtype=torch.float64)
    assert truth.norm(truth.jacobian(nn.Softmax(1), x)) == pytest.approx(0.5, abs=1e-14)
    assert operator_norm(nn.Softmax(1), (classes,)).value == 0.5


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_one_sure_class_reaches_the_root_of_the_number_of_classes(classes: int) -> None:
    x = torch.tensor([100.0, *[0.0] * (classes - 1)], dtype=torch.float64)
    found = truth.norm(truth.jacobian(nn.LogSoftmax(1), x))
    assert found == pytest.approx(math.sqrt(classes), rel=1e-14)
    assert operator_norm(nn.LogSoftmax(1), (classes,)).value == pytest.approx(found, rel=1e-14)


@pytest.mark.parametrize("layer", [nn.Softmax(-1), nn.Softmin(2), nn.LogSoftmax(2)])
def test_a_single_class_is_constant(layer: nn.Module) -> None:
    assert operator_norm(layer, (5, 1)).value == 0.0


def test_softmax2d_is_that_of_the_channels() -> None:
    assert operator_norm(nn.Softmax2d(), (3, 1, 1)).value == 0.5
    assert operator_norm(nn.Softmax2d(), (1, 3, 3)).value == 0.0
    with pytest.raises(ValueError, match=r"shape \(C, H, W\), not \(3, 3\)"):
        operator_norm(nn.Softmax2d(), (3, 3))


@pytest.mark.parametrize("dim", [0, -2])
def test_a_softmax_over_the_batch_is_infinite(dim: int) -> None:
    assert "that of the batch" in operator_norm(nn.Softmax(dim), (3,)).reason


def test_what_is_missing_is_named() -> None:
    assert operator_norm(nn.Softmax(1)).value == 0.5
    assert "give the shape" in operator_norm(nn.LogSoftmax(1)).reason
    assert "dim is not given" in operator_norm(nn.Softmax(), (3,)).reason
    with pytest.raises(ValueError, match="has no dimension 4"):
        operator_norm(nn.Softmax(4), (3,))


@pytest.mark.parametrize(
    "layer",
    [
        nn.GLU(),
        nn.MultiheadAttention(4, 2),
        nn.TransformerEncoderLayer(4, 2, 8, batch_first=True),
        nn.Transformer(4, 2, 1, 1, 8, batch_first=True),
    ],
)
def test_products_of_functions_of_the_input_are_infinite(layer: nn.Module) -> None:
    norm = operator_norm(layer, (4, 4))
    assert norm.value == math.inf
    assert norm.reason.startswith(f"{type(layer).__name__}: it multiplies functions of its input")
