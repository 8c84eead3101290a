import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from torch import nn

from lit_intriguing.lipschitz import operator_norm
from lit_intriguing.lipschitz.layers.activations import _SLOPES, slope_interval
from lit_intriguing.lipschitz.norm import ONE
from tests.lipschitz import truth

number = st.floats(-5, 5, allow_subnormal=False)
ARBITRARY = {
    nn.LeakyReLU: number,
    nn.ELU: number,
    nn.CELU: st.floats(0.1, 3),
    nn.Softshrink: st.floats(0.1, 5),
    nn.Softplus: st.floats(0.5, 5) | st.floats(-5, -0.5),
    nn.Hardshrink: st.floats(-5, 0, allow_subnormal=False),
}
OTHERS = {nn.Threshold, nn.Dropout2d, nn.Dropout3d}  # the latter want images
SMOOTH = [nn.GELU(), nn.GELU("tanh"), nn.SiLU(), nn.Mish()]
Slope = Callable[[np.ndarray], np.ndarray]


def gelu_slope(x: np.ndarray) -> np.ndarray:
    return torch.special.ndtr(torch.from_numpy(x)).numpy() + x * np.exp(-(x**2) / 2) / math.sqrt(
        2 * math.pi
    )


def gelu_tanh_slope(x: np.ndarray) -> np.ndarray:
    c = math.sqrt(2 / math.pi)
    u, slope = c * (x + 0.044715 * x**3), c * (1 + 3 * 0.044715 * x**2)
    return (1 + np.tanh(u)) / 2 + x * slope * (1 - np.tanh(u) ** 2) / 2


def silu_slope(x: np.ndarray) -> np.ndarray:
    s = 1 / (1 + np.exp(-x))
    return s * (1 + x * (1 - s))


def mish_slope(x: np.ndarray) -> np.ndarray:
    t = np.tanh(np.logaddexp(0, x))
    return t + x * (1 - t**2) / (1 + np.exp(-x))


# The slope f' and a bound of f''' on [-6, 6] (GELU) or [-20, 20], beyond which f' is within 1e-7
# of 0 or 1. For f = x T(u(x)), T = tanh (GELU by tanh: half of it): f''' = 3 T'' + x T''', with
# |T''| <= |u''| + 2 |u'|^2 and |T'''| <= |u'''| + 6 |u' u''| + 4 |u'|^3.
CURVES: list[tuple[nn.Module, Slope, float]] = [
    (nn.GELU(), gelu_slope, 10.0),
    (nn.GELU("tanh"), gelu_tanh_slope, 1500.0),
    (nn.SiLU(), silu_slope, 10.0),
    (nn.Mish(), mish_slope, 100.0),
]


@pytest.mark.parametrize(("layer", "slope", "curvature"), CURVES)
def test_constants_of_smooth_activations_bound_a_grid_with_what_lies_between(
    layer: nn.Module, slope: Slope, curvature: float
) -> None:
    """Near its top a slope is at most `step^2 / 8 * curvature` above the nearest grid point."""
    low, high = slope_interval(layer) or (math.nan, math.nan)
    end = 6.0 if isinstance(layer, nn.GELU) else 20.0
    coarse = np.linspace(-end, end, 2_000_001)
    values = slope(coarse)
    for bound, sign in ((high, 1.0), (-low, -1.0)):
        top = coarse[int((sign * values).argmax())]
        near = np.abs(coarse - top) < 0.01
        gap = (coarse[1] - coarse[0]) ** 2 / 8 * curvature
        assert (sign * values[~near]).max() + gap < bound
        fine = np.linspace(top - 0.011, top + 0.011, 200_001)
        gap = (fine[1] - fine[0]) ** 2 / 8 * curvature
        assert (sign * slope(fine)).max() <= bound
        assert (sign * slope(fine)).max() + gap < bound + 1e-11
    assert abs(slope(np.array([end]))[0] - 1) < 1e-7
    assert abs(slope(np.array([-end]))[0]) < 1e-7


@pytest.mark.parametrize(("layer", "slope", "curvature"), CURVES)
def test_constants_of_smooth_activations_are_those_that_scipy_finds(
    layer: nn.Module, slope: Slope, curvature: float
) -> None:
    low, high = slope_interval(layer) or (math.nan, math.nan)
    for bound, sign, ends in ((high, 1.0, (0.5, 4.0)), (-low, -1.0, (-4.0, -0.5))):
        found = minimize_scalar(
            lambda x, sign=sign: -sign * float(slope(np.array(x))),
            bounds=ends,
            method="bounded",
            options={"xatol": 1e-10},
        )
        assert -found.fun <= bound <= -found.fun + 1e-13


@pytest.mark.parametrize("layer", SMOOTH, ids=repr)
def test_torch_computes_the_slopes_that_the_constants_are_for(layer: nn.Module) -> None:
    slope = next(s for other, s, _ in CURVES if repr(other) == repr(layer))
    x = torch.linspace(-6, 6, 501, dtype=torch.float64, requires_grad=True)
    (slopes,) = torch.autograd.grad(layer(x).sum(), x)
    np.testing.assert_allclose(slopes.numpy(), slope(x.detach().numpy()), atol=1e-7)


@pytest.mark.parametrize("kind", sorted(_SLOPES.keys() - OTHERS, key=lambda k: k.__name__))
@given(data=st.data())
@settings(max_examples=30, deadline=None)
def test_secants_lie_within_the_slopes_and_come_near_both_ends(
    kind: type[nn.Module], data: st.DataObject
) -> None:
    layer = kind(data.draw(ARBITRARY[kind])) if kind in ARBITRARY else kind()
    layer.eval()
    low, high = slope_interval(layer) or (math.nan, math.nan)
    least, greatest = truth.secants(layer.double())
    assert low - 2e-12 * max(1, -low) <= least <= greatest <= high + 2e-12 * max(1, high)
    near = 0.15 if kind in (nn.Softplus, nn.LogSigmoid, nn.CELU, nn.Softsign) else 0.02
    assert least - low <= near * max(1, -low)
    assert high - greatest <= near * max(1, high)
    assert operator_norm(layer).value == max(-low, high)


@given(st.lists(number, min_size=1, max_size=4))
def test_prelu_takes_its_steepest_channel(slopes: list[float]) -> None:
    layer = nn.PReLU(len(slopes), dtype=torch.float64)
    layer.weight.data = torch.tensor(slopes, dtype=torch.float64)
    assert slope_interval(layer) == (min(1.0, *slopes), max(1.0, *slopes))
    assert operator_norm(layer, (len(slopes), 3)).value == max(1.0, *map(abs, slopes))


def test_rrelu_leaks_by_the_middle_of_its_slopes_in_evaluation() -> None:
    layer = nn.RReLU(2.0, 3.0)
    assert operator_norm(layer).value == pytest.approx(2.5, rel=1e-15)
    assert operator_norm(layer).value >= 2.5


@pytest.mark.parametrize(
    ("layer", "slopes"),
    [
        (nn.Threshold(0.5, 0.5), (0.0, 1.0)),
        (nn.Threshold(-math.inf, 3.0), (1.0, 1.0)),
        (nn.Hardshrink(0.0), (1.0, 1.0)),
        (nn.Hardsigmoid(), (0.0, pytest.approx(1 / 6, rel=1e-14))),
    ],
)
def test_continuous_cases_of_activations_that_may_jump(
    layer: nn.Module, slopes: tuple[float, float]
) -> None:
    assert slope_interval(layer) == slopes


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (nn.Hardshrink(0.5), "it is not continuous"),
        (nn.Threshold(0.1, 20.0), "its value is not its threshold"),
        (nn.Softplus(1.0, 1.0), "threshold = 1.0 it is not continuous"),
        (nn.Softplus(1.0, 16.0), "threshold = 16.0 it is not continuous"),
        (nn.Softplus(-1e-6, 16), "beta = -1e-06 and threshold = 16 it"),
        (nn.Softplus(1e6, 10), "threshold = 10 it"),
        (nn.Softplus(0.0), "beta = 0.0"),
        (nn.Softplus(1.0, -1e4), "it is not continuous"),
        (nn.Softplus(math.nan), "it is not continuous"),
        (nn.CELU(-1.0), "alpha = -1.0 it grows exponentially"),
        (nn.Softshrink(-1.0), "lambd = -1.0 is not allowed"),
        (nn.LeakyReLU(math.nan), "no finite number"),
        (nn.ELU(math.inf), "no finite number"),
    ],
)
def test_what_jumps_or_is_not_bounded_is_infinite_with_its_reason(
    layer: nn.Module, reason: str
) -> None:
    assert not operator_norm(layer).finite
    assert reason in operator_norm(layer).reason
    assert type(layer).__name__ in operator_norm(layer).reason
    assert slope_interval(layer) is None


def test_softplus_jumps_at_its_threshold_and_is_bounded_where_rounding_hides_it() -> None:
    layer = nn.Softplus(beta=1e-6, threshold=16)
    below, above = layer(torch.tensor([16e6 - 1e-3, 16e6 + 1e-3], dtype=torch.float64))
    assert below - above > 0.1  # though it rises everywhere else
    assert not operator_norm(layer).finite
    for smooth in (nn.Softplus(), nn.Softplus(100.0), nn.Softplus(-2.0), nn.Softplus(1, math.inf)):
        assert operator_norm(smooth) == ONE


def test_prelu_with_weights_that_are_no_numbers_or_that_do_not_fit() -> None:
    layer = nn.PReLU(3)
    with pytest.raises(ValueError, match="wants an example of 3 channels"):
        operator_norm(layer, (4, 5))
    layer.weight.data[1] = math.nan
    assert "NaN" in operator_norm(layer).reason
    assert slope_interval(layer) is None
    assert "complex" in operator_norm(nn.PReLU(3, dtype=torch.complex64)).reason


def test_layers_that_mix_numbers_have_no_slopes() -> None:
    replaced = nn.ReLU()
    replaced.forward = lambda x: 3 * x  # type: ignore[method-assign]
    for layer in (nn.Softmax(1), nn.Linear(2, 2), replaced):
        assert slope_interval(layer) is None


@pytest.mark.parametrize("layer", [nn.Dropout(), nn.Dropout2d(), nn.AlphaDropout(), nn.Identity()])
def test_dropout_is_nothing_in_evaluation(layer: nn.Module) -> None:
    assert operator_norm(layer.train()) == ONE
