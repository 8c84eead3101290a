"""Padding with copies of the image and the convolution behind it, against the dense operator."""

import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import weight_norm

from lit_intriguing.lipschitz import network_norm, operator_norm, validate
from lit_intriguing.lipschitz.layers import convolution
from lit_intriguing.lipschitz.tracked import TrackedNorm
from tests.lipschitz import truth


class Padded(nn.Module):
    """Pads by a function, as models do that were brought here from other libraries."""

    def __init__(self, conv: nn.Module, sides: Sequence[int], mode: str = "circular") -> None:
        super().__init__()
        self.conv, self.sides, self.mode = conv, list(sides), mode

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(functional.pad(x, self.sides, mode=self.mode))


def both(pad: nn.Module, conv: nn.Module) -> nn.Module:
    return nn.Sequential(pad, conv)


def ones(conv: nn.Module) -> nn.Module:
    """Set a kernel that no shift or crop of the image leaves as it is."""
    nn.init.ones_(conv.weight)
    return conv


CASES = {
    "circular": lambda: (both(nn.CircularPad2d(1), nn.Conv2d(2, 3, 3)), (2, 5, 6)),
    "sides": lambda: (Padded(nn.Conv2d(2, 3, 3), (2, 0, 1, 1)), (2, 5, 6)),
    "even kernel": lambda: (Padded(nn.Conv2d(2, 3, (2, 4)), (1, 2, 0, 1)), (2, 5, 6)),
    "stride": lambda: (Padded(nn.Conv1d(2, 3, 4, 2), (1, 1)), (2, 8)),
    "odd with stride": lambda: (Padded(nn.Conv1d(2, 3, 3, 2), (1, 0)), (2, 8)),
    "dilation": lambda: (both(nn.CircularPad1d((2, 4)), nn.Conv1d(4, 4, 3, 1, 0, 3, 2)), (4, 9)),
    "three": lambda: (both(nn.CircularPad3d(1), nn.Conv3d(1, 2, 3)), (1, 3, 4, 3)),
    "reflect": lambda: (Padded(nn.Conv2d(2, 3, 3), (1, 1, 1, 1), "reflect"), (2, 5, 6)),
    "reflect one side": lambda: (Padded(nn.Conv1d(2, 3, 3), (2, 0), "reflect"), (2, 6)),
    "replicate": lambda: (both(nn.ReplicationPad1d(3), nn.Conv1d(2, 3, 7)), (2, 6)),
    "zeros": lambda: (Padded(nn.Conv1d(2, 3, 3), (1, 1), "constant"), (2, 6)),
    "padded twice": lambda: (Padded(nn.Conv1d(2, 3, 3, padding=1), (1, 1)), (2, 6)),
    "weight norm": lambda: (both(nn.CircularPad1d(1), weight_norm(nn.Conv1d(2, 3, 3))), (2, 6)),
    "other layer": lambda: (both(nn.CircularPad1d(1), nn.ConvTranspose1d(2, 3, 3)), (2, 6)),
    "crops behind": lambda: (Padded(ones(nn.Conv1d(1, 1, 3)), (3, -1)), (1, 6)),
    "crops before": lambda: (Padded(nn.Conv1d(2, 3, 3), (-1, 3)), (2, 6)),
    "crops as much": lambda: (Padded(ones(nn.Conv1d(1, 1, 3)), (3, -3)), (1, 6)),
    "crops all round": lambda: (Padded(nn.Conv1d(2, 3, 3), (-1, -1)), (2, 6)),
    "crops rows": lambda: (Padded(ones(nn.Conv2d(1, 1, 3)), (1, 1, 3, -1)), (1, 6, 5)),
    "crops columns": lambda: (Padded(nn.Conv2d(2, 3, 3), (-1, 3, 1, 1)), (2, 5, 6)),
    "crops of three": lambda: (Padded(ones(nn.Conv3d(1, 1, 2)), (1, 0, -1, 2, 1, 0)), (1, 3, 4, 3)),
    "reflect crops": lambda: (Padded(nn.Conv1d(2, 3, 3), (3, -1), "reflect"), (2, 6)),
    "reflect crops 2": lambda: (
        both(nn.ReflectionPad2d((-1, 3, 1, 1)), nn.Conv2d(2, 3, 3)),
        (2, 5, 6),
    ),
    "replicate crops": lambda: (Padded(nn.Conv1d(2, 3, 3), (3, -1), "replicate"), (2, 6)),
    "replicate crops 2": lambda: (
        both(nn.ReplicationPad2d((1, 1, 3, -1)), nn.Conv2d(2, 3, 3)),
        (2, 5, 6),
    ),
}
CROPS = {name for name in CASES if "crops" in name}
LOOSE = {"zeros", "reflect one side", "padded twice", "other layer", "odd with stride", *CROPS}
"""What no single layer does: bounded by the product, as before."""


@pytest.mark.parametrize("written", [True, False], ids=["as a matrix", "by frequencies"])
@pytest.mark.parametrize("name", CASES)
def test_it_is_bounded_as_one_operator(
    name: str, written: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not written:
        monkeypatch.setattr(convolution, "SMALL", 0)
    torch.manual_seed(0)
    model, shape = CASES[name]()
    model = model.double()
    true = truth.norm(truth.matrix(model, shape))
    found = network_norm(model, shape).product.value
    assert true * (1 - 1e-12) <= found <= true * (3 if name in LOOSE or not written else 1 + 1e-9)
    assert validate(model, shape) == []


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        (both(nn.CircularPad1d((3, -1)), ones(nn.Conv1d(1, 1, 3))), (1, 6)),
        (both(nn.CircularPad2d((1, 1, -1, 3)), ones(nn.Conv2d(1, 1, 3))), (1, 5, 6)),
        (
            both(nn.CircularPad3d((2, -1, 0, 0, 0, 0)), ones(nn.Conv3d(1, 1, (1, 1, 2)))),
            (1, 3, 3, 4),
        ),
    ],
)
def test_a_circular_layer_that_crops_is_refused(model: nn.Module, shape: tuple[int, ...]) -> None:
    found = network_norm(model, shape).product
    assert math.isinf(found.value)
    assert found.reason.endswith("torch does not say what a circular pad does that also crops")


@pytest.mark.parametrize("sides", [(5, -3), (-3, 5), (4, -4)])
def test_a_circular_one_that_leaves_numbers_unset_is_refused(sides: tuple[int, int]) -> None:
    # With two channels torch pads with what was in memory before; with one it raises an error.
    for model in (Padded(nn.Identity(), sides), Padded(nn.Conv1d(2, 1, 3), sides)):
        found = network_norm(model, (2, 6)).product
        assert math.isinf(found.value)
        assert "torch does not say" in found.reason


def test_a_circular_one_on_a_large_image_is_that_of_the_layer_that_pads_itself() -> None:
    torch.manual_seed(0)
    bare, own = nn.Conv2d(8, 8, 3), nn.Conv2d(8, 8, 3, padding=1, padding_mode="circular")
    own.load_state_dict(bare.state_dict())
    found = network_norm(both(nn.CircularPad2d(1), bare), (8, 24, 24))
    assert found.product == operator_norm(own, (8, 24, 24))
    (layer,) = found.layers
    assert (layer.name, layer.note) == ("1", "with the padding of 0")
    assert layer.input_shape == (8, 26, 26)
    apart = operator_norm(nn.CircularPad2d(1), (8, 24, 24)).times(operator_norm(bare).value)
    assert found.product.value < 0.6 * apart.value


def test_a_batch_norm_behind_it_is_folded_too() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.CircularPad1d(1), nn.Conv1d(2, 3, 3), nn.BatchNorm1d(3)).eval()
    nn.init.uniform_(model[2].running_var, 0.1, 4.0)
    model = model.double()
    found = network_norm(model, (2, 6))
    assert found.product.value == pytest.approx(truth.norm(truth.matrix(model, (2, 6))), rel=1e-6)
    assert [layer.note for layer in found.layers] == ["with the padding of 0", "folded into 1"]


def test_padding_that_others_read_counts_by_itself() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv1d(2, 2, 3)

        def forward(self, x: Tensor) -> Tensor:
            x = functional.pad(x, (1, 1), mode="circular")
            return self.conv(x) + x[..., 1:-1]

    torch.manual_seed(0)
    model = Twice().double()
    found = network_norm(model, (2, 6))
    assert truth.norm(truth.matrix(model, (2, 6))) <= found.product.value
    assert [layer.name for layer in found.layers] == ["pad", "conv"]


def test_changes_of_its_weight_are_tracked() -> None:
    torch.manual_seed(0)
    model = both(nn.CircularPad2d(1), nn.Conv2d(2, 3, 3))
    tracked = TrackedNorm()
    tracked.start(model, found := network_norm(model, (2, 6, 6)))
    with torch.no_grad():
        model[1].weight *= 3
    assert tracked.network(tracked.step(model)) == pytest.approx(3 * found.product.value, rel=1e-2)
