import random
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from lit_intriguing.lipschitz import CannotBoundError, network_norm, operator_norm
from lit_intriguing.lipschitz.layers import convolution
from lit_intriguing.lipschitz.layers.convolution import convolution_norm
from lit_intriguing.lipschitz.norm import Norm
from tests.lipschitz.random.random_layers import draw, true_norm
from tests.lipschitz.truth import matrix, norm

SLACK = 1e-12  # the dense SVD's own rounding


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("small", [0, 2**20])
def test_no_bound_of_random_layers_lies_below_the_dense_svd(seed, small, monkeypatch) -> None:
    monkeypatch.setattr(convolution, "SMALL", small)
    rng = random.Random(f"{seed} {small}")
    for index in range(25):
        case = draw(rng)
        shape = None if index % 4 == 3 else case.shape
        found = convolution_norm(case.layer, shape)
        assert found.value >= case.norm * (1 - SLACK), (case.layer, shape or case.shape)
        if small and shape:
            assert found.kind == "exact"
        if found.kind == "exact" and shape:
            assert found.value == pytest.approx(case.norm, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(
    ("layer", "shape", "ratio"),
    [
        (nn.Conv1d(3, 4, 5, padding=2), (3, 60), 1.001),
        (nn.Conv1d(3, 4, 5, padding="same", dilation=3), (3, 60), 1.002),
        (nn.Conv1d(4, 6, 7, 2, 3, groups=2), (4, 101), 1.001),
        (nn.Conv2d(1, 2, 3, padding=1), (1, 13, 13), 1.005),
        (nn.ConvTranspose1d(3, 2, 4, 2, 1), (3, 60), 1.001),
        (nn.Conv1d(3, 4, 5, 2, 2, padding_mode="circular"), (3, 60), 1.00001),
    ],
)
def test_low_pass_kernels_are_bounded_tightly(layer, shape, ratio, monkeypatch) -> None:
    monkeypatch.setattr(convolution, "SMALL", 0)
    layer.bias = None
    layer = layer.double()
    draw_ = torch.Generator().manual_seed(1)
    layer.weight.data = 1 + 0.1 * torch.rand(layer.weight.shape, generator=draw_).double()
    truth = true_norm(layer, shape)
    assert truth is not None
    assert truth <= convolution_norm(layer, shape).value <= ratio * truth


@pytest.mark.parametrize("mode", ["circular", "reflect", "replicate"])
@pytest.mark.parametrize("small", [0, 2**20])
def test_a_layer_that_crops_its_input_is_bounded(mode: str, small: int, monkeypatch) -> None:
    monkeypatch.setattr(convolution, "SMALL", small)
    layer = nn.Conv1d(2, 3, 3, padding=-1, padding_mode=mode).double()
    truth = norm(matrix(layer, (2, 9)))
    assert truth <= convolution_norm(layer, (2, 9)).value * (1 + SLACK) <= 1.5 * truth
    assert truth <= convolution_norm(layer).value <= 3 * truth


def test_patches_that_do_not_overlap_are_exact_for_any_shape() -> None:
    layer = nn.Conv2d(3, 5, 4, stride=4).double()
    matrix = layer.weight.detach().reshape(5, -1)
    found = operator_norm(layer)
    assert found.kind == "exact"
    assert found.value == pytest.approx(np.linalg.norm(matrix, 2), rel=1e-12)
    assert operator_norm(layer, (3, 224, 224)) == found


@pytest.mark.parametrize("mode", ["zeros", "circular", "reflect", "replicate"])
@pytest.mark.parametrize("size", [2, 3, 7, 16])
def test_without_a_shape_the_bound_holds_for_each(mode: str, size: int) -> None:
    layer = nn.Conv1d(2, 3, 4, padding=1, padding_mode=mode, bias=False).double()
    truth = true_norm(layer, (2, size))
    assert truth is not None
    assert operator_norm(layer).value >= truth


def test_the_supremum_is_that_of_the_symbol() -> None:
    layer = nn.Conv1d(1, 1, 3, padding=1)
    layer.weight.data = torch.tensor([[[1.0, 2.0, 1.0]]])
    assert 4 <= operator_norm(layer).value <= 4 * (1 + 4e-4)


def test_probable_bounds_lie_above_the_truth_and_close(monkeypatch) -> None:
    rng = random.Random(5)
    for _ in range(30):
        case = draw(rng)
        found = convolution_norm(case.layer, case.shape, method="probable", seed=3)
        assert found.kind == "probable" or case.norm == 0
        assert case.norm * (1 - SLACK) <= found.value <= max(1.001 * case.norm, 1e-100)


def test_what_leaves_no_room_for_the_vectors_has_the_certified_bound(monkeypatch) -> None:
    monkeypatch.setattr(convolution, "ROOM", 100)
    layer = nn.Conv2d(2, 3, 3, padding=1)
    assert convolution_norm(layer, (2, 20, 20), method="probable") == operator_norm(
        layer, (2, 20, 20)
    )


def test_complex_weights_are_bounded() -> None:
    layer = nn.Conv1d(2, 3, 3, padding=1, bias=False)
    layer.weight = nn.Parameter(torch.randn(3, 2, 3, dtype=torch.complex128))
    basis = torch.eye(40, dtype=torch.complex128).reshape(40, 2, 20)
    truth = float(torch.linalg.matrix_norm(layer(basis).flatten(1).detach(), 2))
    exact, any_shape = operator_norm(layer, (2, 20)).value, operator_norm(layer).value
    assert truth * (1 - SLACK) <= exact <= truth * (1 + 1e-9)
    assert exact <= any_shape <= 1.2 * exact
    probable = convolution_norm(layer, (2, 20), method="probable").value
    assert truth <= probable <= 1.001 * truth


@pytest.mark.parametrize("scale", [1e-310, 1e-160, 1e160, 1e306])
def test_weights_of_any_size_are_bounded(scale: float) -> None:
    layer = nn.Conv1d(1, 1, 3, padding=1).double()
    layer.weight.data = torch.tensor([[[scale, 2 * scale, scale]]], dtype=torch.float64)
    assert 4 * scale <= operator_norm(layer).value <= max(4.01 * scale, 1e-300)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_half_precision_weights_are_read_as_they_are(kind: torch.dtype) -> None:
    layer = nn.Conv2d(2, 3, 3, padding=1).to(kind)
    assert operator_norm(layer, (2, 5, 5)) == operator_norm(layer.double(), (2, 5, 5))


def changed(name: str, value: object, **settings: object) -> nn.Module:
    layer = nn.Conv2d(1, 1, 3, bias=False, **settings)
    layer.weight.data.fill_(1.0)
    setattr(layer, name, value)
    return layer


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (changed("padding", (0, 0), padding=1, padding_mode="circular"), "padding was set after"),
        (changed("padding", (1, 1), padding_mode="replicate"), "padding was set after"),
        (changed("stride", 2), "its stride is 2; set one number for each of 2 dimensions"),
        (changed("dilation", 2), "its dilation is 2"),
        (changed("padding", 1), "its padding is 1"),
        (changed("padding", (1,)), r"its padding is (1,)"),
        (changed("weight", nn.Parameter(torch.ones(1, 1, 5, 5))), "shape (1, 1, 5, 5), not (1, 1,"),
        (changed("weight", nn.Parameter(torch.ones(4, 1, 3, 3))), "not (1, 1, 3, 3)"),
        (changed("in_channels", 2), "not (1, 2, 3, 3)"),
    ],
)
def test_layers_that_are_not_what_their_attributes_say_are_refused(layer, reason) -> None:
    for shape in (None, (1, 6, 6)):
        norm = operator_norm(layer, shape)
        assert not norm.finite
        assert reason in norm.reason


def test_torch_pads_as_the_constructor_said_whatever_is_set_afterwards() -> None:
    layer = changed("padding", (0, 0), padding=1, padding_mode="circular")
    found = float(layer(torch.ones(1, 1, 3, 3)).detach().norm() / 3)
    assert found == pytest.approx(9.0)
    unpadded = nn.Conv2d(1, 1, 3, bias=False)
    unpadded.weight = layer.weight
    assert operator_norm(unpadded, (1, 3, 3)).value < 3.1
    layer.padding = (1, 1)
    assert operator_norm(layer, (1, 3, 3)).value >= found


def test_a_padding_mode_set_afterwards_is_the_one_that_torch_pads_with() -> None:
    layer = changed("padding_mode", "circular", padding=1)
    assert operator_norm(layer, (1, 5, 5)).value == pytest.approx(9.0)


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors:UserWarning")
def test_layers_without_channels_have_the_norm_zero() -> None:
    for layer in (nn.Conv2d(0, 3, 3), nn.Conv2d(3, 0, 3)):
        assert operator_norm(layer) == Norm(0.0)
        assert operator_norm(layer, (layer.in_channels, 8, 8)) == Norm(0.0)


def test_outputs_that_lie_in_the_padding_alone_are_zero(monkeypatch) -> None:
    monkeypatch.setattr(convolution, "SMALL", 0)
    layer = nn.Conv1d(1, 1, 1, stride=4, padding=2)
    assert operator_norm(layer, (1, 1)) == Norm(0.0)


def test_weights_that_are_not_finite_are_infinite_with_the_reason() -> None:
    layer = nn.Conv2d(2, 3, 3)
    layer.weight.data[0, 0, 0, 0] = torch.nan
    assert operator_norm(layer).reason == "Conv2d: its weight contains NaN or infinity"


def test_what_does_not_fit_is_named() -> None:
    layer = nn.Conv2d(2, 3, 3)
    with pytest.raises(ValueError, match=r"wants an example of shape \(2, H, W\), not \(\)"):
        operator_norm(layer, ())
    with pytest.raises(ValueError, match="gives no output"):
        operator_norm(layer, (2, 2, 2))
    with pytest.raises(ValueError, match="probable method needs the shape"):
        convolution_norm(layer, method="probable")
    with pytest.raises(ValueError, match="certified or probable, not 'gram'"):
        convolution_norm(layer, (2, 5, 5), method="gram")
    with pytest.raises(CannotBoundError, match="Linear is no convolution"):
        convolution_norm(nn.Linear(2, 2))


def written_out(layer: nn.Module, shape: tuple[int, ...]) -> torch.Tensor:
    layer.bias = None
    count = torch.Size(shape).numel()
    units = torch.eye(count, dtype=layer.weight.dtype).reshape(count, *shape)
    return torch.cat([layer(unit[None]).detach().flatten(1) for unit in units])


class Patches(TorchDispatchMode):
    """Notes the most numbers that the patches of one call of a convolution hold."""

    def __init__(self) -> None:
        super().__init__()
        self.most = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if "convolution" in func.__name__:
            x, weight = args[:2]
            places = max(x[0, 0].numel(), result[0, 0].numel())
            channels = max(x.shape[1], result.shape[1])
            self.most = max(self.most, len(x) * channels * places * weight[0, 0].numel())
        return result


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Conv2d(24, 1, 3, padding=1).double(), (24, 7, 7)),  # many more pixels than outputs
        (nn.Conv2d(24, 1, 3, padding=1, padding_mode="reflect").double(), (24, 7, 7)),
        (nn.ConvTranspose2d(1, 64, 3, 2).double(), (1, 5, 5)),
        (nn.Conv2d(1, 80, 3, dtype=torch.complex128), (1, 9, 9)),
    ],
)
def test_an_operator_is_written_out_in_pieces_on_its_smaller_side(
    layer: nn.Conv2d, shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(convolution, "PIECE", 2**15)
    with Patches() as patches:
        found = convolution_norm(layer, shape)
    assert patches.most <= 4 * 2**15  # with the padding; all at once it would be 1e6 and more
    assert found.kind == "exact"
    assert found.value == pytest.approx(norm(written_out(layer, shape)), rel=1e-9)


def test_a_layer_with_too_many_channels_has_a_bound_that_says_why_it_is_coarse(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    layer = nn.Conv2d(6, 5, 3, padding=1).double()
    monkeypatch.setattr(convolution, "SMALL", 0)
    close = convolution_norm(layer, (6, 8, 8))
    assert close.reason == ""
    monkeypatch.setattr("lit_intriguing.solvers.spectral.by_taps.ROOM", 20_000)
    for shape in ((6, 8, 8), None):
        coarse = convolution_norm(layer, shape)
        assert close.value < coarse.value < 3 * close.value
        assert coarse.kind == "upper"
        assert "bounded tap by tap" in coarse.reason
    (listed,) = network_norm(nn.Sequential(layer), (6, 8, 8)).layers
    assert listed.norm.reason.startswith("0: bounded tap by tap")
