import math

import pytest
from torch import nn

from lit_intriguing.lipschitz import operator_norm
from lit_intriguing.lipschitz.layers import separable
from tests.lipschitz import truth


@pytest.mark.parametrize("scale", [2, 3])
def test_nearest_neighbours_are_copied(scale: int) -> None:
    norm = operator_norm(nn.Upsample(scale_factor=scale), (3, 5, 7))
    assert (norm.value, norm.kind) == (float(scale), "exact")
    assert operator_norm(nn.UpsamplingNearest2d(scale_factor=scale), (3, 5, 7)) == norm


def test_bilinear_interpolation_of_both_types_of_layer_is_the_same() -> None:
    layer = nn.UpsamplingBilinear2d(size=(9, 4))
    norm = operator_norm(layer, (2, 4, 6))
    assert norm.value == pytest.approx(truth.norm(truth.matrix(layer, (2, 4, 6))), rel=1e-10)
    same = nn.Upsample(size=(9, 4), mode="bilinear", align_corners=True)
    assert operator_norm(same, (2, 4, 6)) == norm


def test_long_dimensions_are_bounded_unless_weights_are_negative(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    linear = nn.Upsample(scale_factor=1.7, mode="linear")
    exact = operator_norm(linear, (1, 40)).value
    monkeypatch.setattr(separable, "SMALL", 0)
    assert exact * (1 - 1e-10) <= operator_norm(linear, (1, 40)).value <= 1.05 * exact
    cubic = operator_norm(nn.Upsample(scale_factor=2, mode="bicubic"), (1, 8, 8))
    assert cubic.value == math.inf
    assert "8 x 16 numbers is too large" in cubic.reason


def test_without_a_shape_it_is_infinite() -> None:
    assert "give it" in operator_norm(nn.Upsample(scale_factor=2)).reason


def test_a_shape_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="does not fit an image of 2 dimensions"):
        operator_norm(nn.Upsample(scale_factor=(2, 2, 2)), (3, 5, 7))
    with pytest.raises(ValueError, match=r"wants an example of shape \(C, H, W\)"):
        operator_norm(nn.Upsample(scale_factor=2, mode="bilinear"), (3, 5))


@pytest.mark.parametrize("size", [(3, 4), (3, 3), (4, 4), (2, 5)])
@pytest.mark.parametrize("scale", [(1.3, 2.0), (2.0, 1.3), (1.3, 1.3), (1.0, 2.0), (1.2, 0.5)])
@pytest.mark.parametrize("mode", ["nearest", "nearest-exact", "bilinear", "bicubic"])
def test_exact_is_exact_also_where_one_size_stays_as_it_is(
    mode: str, scale: tuple[float, float], size: tuple[int, int]
) -> None:
    layer = nn.Upsample(scale_factor=scale, mode=mode)
    true = truth.norm(truth.matrix(layer, (1, *size)))
    norm = operator_norm(layer, (1, *size))
    assert norm.value >= true * (1 - 1e-13)
    if norm.kind == "exact":
        assert norm.value <= true * (1 + 1e-9)
