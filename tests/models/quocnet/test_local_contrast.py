import math

import pytest
import torch
from torch import Tensor

from lit_intriguing.errors import UserError
from lit_intriguing.lipschitz import operator_norm
from lit_intriguing.models import LocalContrastNormalisation
from tests.lipschitz import truth


def place_by_place(x: Tensor, window: int, floor: float, sigma: float) -> Tensor:
    """The same by loops over places and their neighbours."""
    _, height, width = x.shape

    def mean(values: Tensor, row: int, column: int) -> float:
        total = weights = 0.0
        for r in range(height):
            for c in range(width):
                if max(abs(r - row), abs(c - column)) <= window // 2:
                    weight = math.exp(-((r - row) ** 2 + (c - column) ** 2) / (2 * sigma**2))
                    total += weight * float(values[:, r, c].mean())
                    weights += weight
        return total / weights

    centred, out = x.clone(), x.clone()
    for row in range(height):
        for column in range(width):
            centred[:, row, column] = x[:, row, column] - mean(x, row, column)
    for row in range(height):
        for column in range(width):
            root = math.sqrt(mean(centred.square(), row, column))
            out[:, row, column] = centred[:, row, column] / max(floor, root)
    return out


@pytest.mark.parametrize(("window", "floor"), [(3, 0.01), (5, 1.0), (1, 0.5)])
def test_it_subtracts_the_mean_nearby_and_divides_by_the_root_mean_square(
    window: int, floor: float
) -> None:
    x = torch.randn(2, 4, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    layer = LocalContrastNormalisation(window, floor, sigma=0.8)
    assert torch.allclose(layer(x[None])[0], place_by_place(x, window, floor, 0.8), atol=1e-12)


def test_an_image_of_one_colour_becomes_zero_with_a_gradient_that_is_finite() -> None:
    x = torch.full((1, 3, 6, 6), 0.5, requires_grad=True)
    y = LocalContrastNormalisation()(x)
    assert float(y.detach().abs().max()) < 1e-4
    y.square().sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()


def test_gradients_are_those_of_finite_differences() -> None:
    x = torch.randn(1, 2, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    layer = LocalContrastNormalisation(3, floor=0.1)
    assert torch.autograd.gradcheck(layer, (x.requires_grad_(),))


@pytest.mark.parametrize("shape", [(1, 4, 5), (3, 4, 4), (2, 1, 1)])
@pytest.mark.parametrize(("window", "floor"), [(3, 0.1), (5, 1.0)])
def test_its_bound_is_never_below_the_slopes(
    shape: tuple[int, int, int], window: int, floor: float
) -> None:
    layer = LocalContrastNormalisation(window, floor)
    found = operator_norm(layer, shape)
    assert found.kind == "upper"
    steepest = truth.steepest(layer, shape, torch.Generator().manual_seed(0))
    assert steepest <= found.value
    if shape != (2, 1, 1):
        assert found.value < 8 * steepest


def test_its_bound_climbs_to_the_division_alone_where_the_slope_is_uphill() -> None:
    """Gradient ascent on the slope does not get past the bound either."""
    layer = LocalContrastNormalisation(3, 0.1)
    bound = operator_norm(layer, (1, 3, 3)).value
    generator = torch.Generator().manual_seed(1)
    for _ in range(200):
        x = torch.randn(1, 3, 3, generator=generator, dtype=torch.float64)
        x = x * 10 ** float(torch.empty(()).uniform_(-2, 0.5, generator=generator))
        assert truth.norm(truth.jacobian(layer, x)) <= bound


def test_a_large_image_gets_the_coarser_bound_of_the_subtraction() -> None:
    layer = LocalContrastNormalisation(5, 1.0)
    small, large = operator_norm(layer, (3, 30, 30)).value, operator_norm(layer, (3, 40, 40)).value
    assert small < large < 2.2 * small


def test_without_a_shape_it_is_not_bounded() -> None:
    assert "give it" in operator_norm(LocalContrastNormalisation()).reason


@pytest.mark.parametrize(
    ("options", "message"),
    [({"window": 4}, "must be odd"), ({"floor": 0.0}, "floor 0.0"), ({"sigma": -1.0}, "sigma -1")],
)
def test_settings_out_of_range_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(UserError, match=message):
        LocalContrastNormalisation(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize("scale", [1.0, 1e-3])
def test_half_precision_is_computed_in_single(scale: float) -> None:
    x = scale * torch.randn(2, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    x[0] = 0.5  # one colour
    layer = LocalContrastNormalisation(floor=1e-4)
    expected = layer(x.half().float())
    found = layer(x.half())
    assert found.dtype == torch.float16
    assert torch.allclose(found.float(), expected, atol=2e-3)


def test_autocast_leaves_small_contrasts_as_they_are() -> None:
    x = 1e-4 * torch.randn(2, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    layer = LocalContrastNormalisation(floor=1e-5)
    with torch.autocast("cpu", torch.float16):
        found = layer(x)
    assert torch.equal(found, layer(x))
