import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from lit_intriguing.lipschitz import operator_norm
from lit_intriguing.lipschitz.layers import separable
from tests.lipschitz import truth


def test_a_max_pool_of_three_with_stride_two_doubles_distances() -> None:
    layer = nn.MaxPool2d(3, 2)
    norm = operator_norm(layer, (1, 13, 13))
    assert (norm.value, norm.kind) == (2.0, "exact")
    assert truth.stretch(layer, (1, 13, 13)) == 2.0
    assert operator_norm(layer).value == 2.0


def test_the_true_shape_counts() -> None:
    assert operator_norm(nn.MaxPool2d(3, 2), (1, 3, 4)).value == 1.0
    assert operator_norm(nn.MaxPool2d(3, 2), (1, 3, 5)).value == pytest.approx(math.sqrt(2))
    assert operator_norm(nn.MaxPool2d(2)).value == 1.0


@given(
    taps=st.integers(1, 5),
    stride=st.integers(1, 5),
    dilation=st.integers(1, 4),
)
@settings(max_examples=60, deadline=None)
def test_without_a_shape_the_constant_is_that_of_a_long_line(
    taps: int, stride: int, dilation: int
) -> None:
    layer = nn.MaxPool1d(taps, stride, 0, dilation)
    assert operator_norm(layer).value == operator_norm(layer, (1, 60)).value


@given(taps=st.integers(1, 5), stride=st.integers(1, 5), length=st.integers(5, 60))
@settings(max_examples=60, deadline=None)
def test_averages_of_more_pixels_come_nearer_to_the_constant_for_all(
    taps: int, stride: int, length: int
) -> None:
    layer = nn.AvgPool1d(taps, stride)
    anywhere, here = operator_norm(layer), operator_norm(layer, (1, length))
    assert here.value <= anywhere.value * (1 + 1e-10)
    assert operator_norm(layer, (1, 500)).value >= 0.999 * anywhere.value


@given(
    taps=st.integers(1, 4),
    stride=st.integers(1, 4),
    length=st.integers(2, 40),
    own=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_long_dimensions_are_bounded_as_closely_as_short_ones(
    taps: int, stride: int, length: int, own: bool
) -> None:
    layer = nn.AvgPool1d(taps, stride, taps // 2, count_include_pad=own)
    exact = operator_norm(layer, (2, length))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(separable, "SMALL", 0)
        upper = operator_norm(layer, (2, length))
    assert (exact.kind, upper.kind) == ("exact", "upper")
    assert exact.value * (1 - 1e-10) <= upper.value <= 1.05 * exact.value


def test_a_long_line_is_bounded_within_a_thousandth() -> None:
    norm = operator_norm(nn.AvgPool1d(3, 1), (1, 5000))
    assert 1 <= norm.value < 1 + 1e-10


def test_a_pool_of_everything_averages() -> None:
    assert operator_norm(nn.AdaptiveAvgPool2d(1), (3, 8, 8)).value == pytest.approx(1 / 8)
    assert operator_norm(nn.AdaptiveAvgPool2d(1)).value == 1.0
    assert operator_norm(nn.AdaptiveAvgPool2d((None, 4))).value == 2.0
    assert operator_norm(nn.AdaptiveMaxPool2d((4, None)), (1, 1, 9)).value == 2.0


def test_a_divisor_of_its_own_replaces_the_number_of_pixels() -> None:
    layer = nn.AvgPool2d(2, divisor_override=-8)
    assert operator_norm(layer).value == pytest.approx(0.25, rel=1e-14)
    assert truth.norm(truth.matrix(layer, (1, 4, 4))) == pytest.approx(0.25, rel=1e-14)


@given(
    power=st.sampled_from([2, 4]),
    taps=st.integers(1, 4),
    stride=st.integers(1, 3),
    ceil=st.booleans(),
    seed=st.integers(0, 1000),
)
@settings(max_examples=40, deadline=None)
def test_no_pair_is_moved_apart_further_by_a_power_pool(
    power: int, taps: int, stride: int, ceil: bool, seed: int
) -> None:
    layer = nn.LPPool1d(power, taps, stride, ceil)
    generator = torch.Generator().manual_seed(seed)
    a = torch.randn(50, 1, 9, generator=generator, dtype=torch.float64)
    b = a + torch.randn(50, 1, 9, generator=generator, dtype=torch.float64) / 10
    ratios = (layer(a) - layer(b)).flatten(1).norm(dim=1) / (a - b).flatten(1).norm(dim=1)
    assert ratios.max() <= operator_norm(layer, (1, 9)).value + 1e-12


@pytest.mark.parametrize("layer", [nn.MaxPool2d(3, 2, 1), nn.MaxPool2d(2, 1, dilation=2)], ids=repr)
def test_no_jacobian_of_a_max_pool_is_steeper(layer: nn.Module) -> None:
    generator = torch.Generator().manual_seed(0)
    found = truth.steepest(layer, (2, 6, 6), generator)
    assert 1 <= found <= operator_norm(layer, (2, 6, 6)).value


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (nn.MaxPool2d(2, return_indices=True), "MaxPool2d: it returns indices too"),
        (nn.AdaptiveMaxPool1d(2, return_indices=True), "it returns indices too"),
        (nn.LPPool2d(3, 2), "norm_type = 3 is neither 1 nor even"),
        (nn.LPPool2d(math.inf, 2), "norm_type = inf"),
        (nn.FractionalMaxPool2d(2, output_size=3), "FractionalMaxPool2d: it draws its windows"),
        (nn.MaxUnpool2d(2), "MaxUnpool2d: it depends on a second input"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_has_no_constant_says_why(layer: nn.Module, reason: str) -> None:
    for shape in (None, (3, 8, 8)):
        norm = operator_norm(layer, shape)
        assert norm.value == math.inf
        assert reason in norm.reason


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (
            nn.MaxPool2d(2),
            (8, 8),
            r"MaxPool2d: wants an example of shape \(C, H, W\), not \(8, 8\)",
        ),
        (nn.AvgPool1d(2), (1, 3, 8), r"AvgPool1d: wants an example of shape \(C, W\)"),
        (nn.AvgPool2d(2), (3, 0, 8), "AvgPool2d: wants an example"),
        (nn.MaxPool2d(9), (1, 4, 4), "MaxPool2d: not with 4 pixels"),
        (nn.AvgPool2d(9), (1, 4, 4), "AvgPool2d: not with 4 pixels"),
        (nn.LPPool2d(2, 9), (1, 4, 4), "LPPool2d: not with 4 pixels"),
        (nn.MaxPool1d(2, padding=2), (1, 4), "MaxPool1d: not with 4 pixels"),
    ],
)
def test_a_shape_that_does_not_fit_is_refused(
    layer: nn.Module, shape: tuple[int, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        operator_norm(layer, shape)


def test_a_wide_pool_of_all_pixels_stays_quick() -> None:
    norm = operator_norm(nn.MaxPool2d(3, 1, 1), (64, 1000, 1000))
    assert norm.value == 3.0
