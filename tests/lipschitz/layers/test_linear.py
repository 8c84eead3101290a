import numpy as np
import pytest
import torch
from torch import nn

from lit_intriguing.lipschitz import operator_norm


@pytest.mark.parametrize("shape", [(3, 5), (5, 3), (1, 1), (80, 300)])
def test_a_dense_layers_norm_is_its_largest_singular_value(shape: tuple[int, int]) -> None:
    layer = nn.Linear(*shape).double()
    truth = np.linalg.norm(layer.weight.detach(), 2)
    found = operator_norm(layer, (7, shape[0]))
    assert found.kind == "exact"
    assert truth * (1 - 1e-13) <= found.value <= truth * (1 + 1e-9)


def test_a_wide_layers_norm_is_an_upper_bound() -> None:
    layer = nn.Linear(600, 700).double()
    truth = np.linalg.norm(layer.weight.detach(), 2)
    found = operator_norm(layer)
    assert found.kind == "upper"
    assert truth <= found.value <= truth * (1 + 1e-5)


def test_an_embedding_is_the_map_from_one_hot_rows() -> None:
    layer = nn.Embedding(7, 4)
    truth = np.linalg.norm(layer.weight.detach().double(), 2)
    assert operator_norm(layer).value == pytest.approx(truth, rel=1e-9)
    renormed = nn.Embedding(7, 4, max_norm=1.0)
    assert (
        operator_norm(renormed).reason == "Embedding: with max_norm its forward changes the weight"
    )


def test_what_cannot_be_bounded_says_why() -> None:
    assert "a product of two inputs" in operator_norm(nn.Bilinear(2, 2, 2)).reason
    assert operator_norm(nn.LazyLinear(3)).reason == "LazyLinear: no rule for this type of layer"
    layer = nn.Linear(2, 2)
    layer.weight.data[0, 0] = torch.inf
    assert operator_norm(layer).reason == "Linear: its weight contains NaN or infinity"


def test_a_shape_that_does_not_fit_is_named() -> None:
    with pytest.raises(ValueError, match=r"wants an example of 5 features, not of shape \(4,\)"):
        operator_norm(nn.Linear(5, 3), (4,))
