import pytest
import torch
from torch import nn

from lit_intriguing.lipschitz import network_norm, operator_norm
from lit_intriguing.models import LocalFilters, QuocNet
from lit_intriguing.models.quocnet import bounds
from tests.lipschitz import truth

SHAPE = (2, 9, 7)


def layer(seed: int = 0, **options: object) -> LocalFilters:
    torch.manual_seed(seed)
    return LocalFilters(SHAPE, **{"maps": 3, "kernel": 3, "scale": 1.0, **options})  # type: ignore[arg-type]


def true_norm(found: LocalFilters) -> float:
    return truth.norm(truth.matrix(found.double(), SHAPE))


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_a_small_layers_norm_is_that_of_its_matrix(stride: int) -> None:
    found = layer(stride=stride)
    norm = operator_norm(found, SHAPE)
    assert norm.value == pytest.approx(true_norm(found), rel=1e-9)
    assert norm.kind == "exact"
    assert operator_norm(found) == norm


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_a_large_layers_bound_by_position_is_never_below_its_norm(
    stride: int, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "WRITTEN_OUT", 0)
    found = layer(seed, stride=stride)
    norm, true = operator_norm(found, SHAPE), true_norm(found)
    assert norm.kind == "upper"
    assert true <= norm.value < 2.5 * true
    if stride == 3:  # no pixel is seen twice: the largest bank's norm
        banks = torch.linalg.svdvals(found.weight.detach().double())[:, 0]
        assert norm.value == pytest.approx(float(banks.max()), rel=1e-9)


def test_the_bound_of_filters_that_fill_a_part_of_their_window_is_tighter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bounds, "WRITTEN_OUT", 0)
    found = layer()
    with torch.no_grad():
        found.filters[..., 1:, :] = 0  # a pixel is seen by 3 windows, of the 9 that hold it
    weight = found.weight.detach().double()
    plain = bounds._weighted(found, weight, torch.ones_like(weight[:, 0]))
    assert true_norm(found) <= operator_norm(found).value < 0.8 * plain


def test_the_probable_norm_is_near_the_true_one() -> None:
    found = layer()
    norm = operator_norm(found, SHAPE, method="probable")
    assert norm.kind == "probable"
    assert norm.value == pytest.approx(true_norm(found), rel=1e-3)
    assert norm.value >= true_norm(found)


def test_a_weight_that_is_no_number_and_another_shape_are_told() -> None:
    found = layer()
    with pytest.raises(ValueError, match=r"wants an example of shape \(2, 9, 7\), not \(2, 9, 8\)"):
        operator_norm(found, (2, 9, 8))
    with torch.no_grad():
        found.weight[0, 0, 0] = torch.nan
    assert "NaN" in operator_norm(found).reason


def test_a_whole_network_is_bounded_layer_by_layer_never_below_its_slope() -> None:
    torch.manual_seed(0)
    network = QuocNet(
        (1, 10, 10), stages=2, maps=2, kernel=3, pool=2, contrast=3, floor=0.5, scale=1.0, pixels=3
    )
    model = nn.Sequential(network, nn.Flatten(), nn.Linear(32, 2)).double()
    found = network_norm(model, (1, 10, 10))
    names = [layer.name for layer in found.layers]
    assert "0.stage2.contrast" in names
    assert all(layer.norm.finite for layer in found.layers)
    generator = torch.Generator().manual_seed(0)
    assert truth.steepest(model, (1, 10, 10), generator) <= found.norm.value
