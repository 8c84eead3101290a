import math
from fractions import Fraction

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from lit_intriguing.lipschitz.layers.folding import folded
from lit_intriguing.lipschitz.registry import CannotBoundError

PAIRS = [
    (nn.Linear(3, 4), nn.BatchNorm1d(4), (3,)),
    (nn.Linear(3, 4, bias=False), nn.BatchNorm1d(4, affine=False), (3,)),
    (nn.Conv1d(2, 4, 3, padding="same", padding_mode="circular"), nn.BatchNorm1d(4), (2, 8)),
    (nn.Conv2d(2, 4, 3, 2, 1, 2, 2), nn.BatchNorm2d(4), (2, 8, 7)),
    (nn.Conv3d(1, 2, 2), nn.SyncBatchNorm(2), (1, 4, 3, 3)),
    (nn.ConvTranspose1d(4, 6, 3, 2, 1, 1, groups=2), nn.BatchNorm1d(6), (4, 5)),
    (nn.ConvTranspose2d(2, 3, 3, dilation=2), nn.BatchNorm2d(3), (2, 4, 4)),
    (weight_norm(nn.Conv2d(2, 4, 3)), nn.BatchNorm2d(4), (2, 8, 7)),
]


def filled(batch_norm: nn.Module) -> nn.Module:
    generator = torch.Generator().manual_seed(0)
    for values in [*batch_norm.parameters(), *batch_norm.buffers()]:
        if values.is_floating_point():
            values.data = torch.rand(values.shape, generator=generator) + 0.1
    if batch_norm.weight is not None:
        batch_norm.weight.data[0] *= -1
    return batch_norm


@pytest.mark.parametrize(
    ("layer", "behind", "shape"), PAIRS, ids=lambda value: type(value).__name__
)
def test_the_folded_layer_does_what_both_do(
    layer: nn.Module, behind: nn.Module, shape: tuple[int, ...]
) -> None:
    joined = folded(layer, filled(behind))
    x = torch.randn(5, *shape, generator=torch.Generator().manual_seed(1))
    assert not joined.training
    assert joined.weight.dtype == torch.float64
    assert not any(parameter.requires_grad for parameter in joined.parameters())
    if isinstance(behind, nn.SyncBatchNorm):  # only runs on accelerators
        behind = nn.functional.batch_norm(
            layer(x), behind.running_mean, behind.running_var, behind.weight, behind.bias, eps=1e-5
        )
    else:
        behind = behind.eval()(layer.eval()(x))
    torch.testing.assert_close(joined(x.double()).float(), behind, rtol=1e-4, atol=1e-5)


def test_channels_of_float32_weights_are_multiplied_exactly_by_at_least_the_true_factor() -> None:
    layer, behind = nn.Linear(50, 40), filled(nn.BatchNorm1d(40))
    joined = folded(layer, behind)
    for row, new, gamma, variance in zip(
        layer.weight.tolist(),
        joined.weight.tolist(),
        behind.weight.tolist(),
        behind.running_var.tolist(),
        strict=True,
    ):
        factors = {Fraction(b) / Fraction(a) for a, b in zip(row, new, strict=True)}
        assert len(factors) == 1
        squared = factors.pop() ** 2 * (Fraction(variance) + Fraction(behind.eps))
        assert 1 <= squared / Fraction(gamma) ** 2 <= Fraction(1 + 2.0**-25)


def test_float64_weights_leave_room_for_the_rounding_of_their_products() -> None:
    layer, behind = nn.Linear(50, 40).double(), filled(nn.BatchNorm1d(40)).double()
    scale = behind.weight / (behind.running_var + behind.eps).sqrt()
    ratios = (folded(layer, behind).weight / (layer.weight * scale[:, None])).detach()
    assert float(ratios.min()) >= 1 + 2.0**-26
    assert float(ratios.max()) <= 1 + 2.0**-24


def test_nothing_in_the_layers_and_no_random_number_changes() -> None:
    layer, behind = nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4)
    before = {**layer.state_dict(prefix="a."), **behind.state_dict(prefix="b.")}
    before = {name: value.clone() for name, value in before.items()}
    state = torch.get_rng_state()
    folded(layer, behind)
    after = {**layer.state_dict(prefix="a."), **behind.state_dict(prefix="b.")}
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert torch.equal(torch.get_rng_state(), state)
    assert layer.training
    assert behind.training


def test_it_folds_inside_inference_mode() -> None:
    with torch.inference_mode():
        assert folded(nn.Linear(2, 3), nn.BatchNorm1d(3)).weight.shape == (3, 2)


@pytest.mark.parametrize(
    ("layer", "behind", "message"),
    [
        (nn.ReLU(), nn.BatchNorm1d(4), "ReLU is not folded"),
        (nn.Linear(3, 4), nn.LayerNorm(4), "LayerNorm is no BatchNorm to fold"),
        (nn.Linear(3, 4), nn.BatchNorm1d(4, track_running_stats=False), "no running statistics"),
        (nn.Linear(3, 4, dtype=torch.complex64), nn.BatchNorm1d(4), "complex"),
    ],
)
def test_what_cannot_be_folded_is_refused(
    layer: nn.Module, behind: nn.Module, message: str
) -> None:
    with pytest.raises(CannotBoundError, match=message):
        folded(layer, behind)


def test_other_channels_weights_and_forwards_are_refused() -> None:
    with pytest.raises(ValueError, match="of 5 channels behind a layer of 4"):
        folded(nn.Linear(3, 4), nn.BatchNorm1d(5))
    layer = nn.Linear(3, 4)
    layer.weight.data[0, 0] = math.nan
    with pytest.raises(CannotBoundError, match="NaN"):
        folded(layer, nn.BatchNorm1d(4))
    layer = nn.Linear(3, 4)
    layer.forward = lambda x: x  # type: ignore[method-assign]
    with pytest.raises(CannotBoundError, match="a forward of its own"):
        folded(layer, nn.BatchNorm1d(4))
