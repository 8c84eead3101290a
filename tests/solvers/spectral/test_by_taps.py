import itertools
import sys

import pytest
import torch
from torch import Tensor
from torch.nn.functional import conv1d, conv2d, conv3d

from lit_intriguing.solvers.spectral import (
    Symbol,
    by_taps,
    padded,
    padded_axis,
    sampled,
    supremum,
    symbol,
)
from tests.peak import Peak

CONVOLUTION = {1: conv1d, 2: conv2d, 3: conv3d}
SHAPES = [
    ((3, 2, 5), (9,), 1, 1),
    ((4, 2, 3, 3), (6, 7), 1, 2),
    ((2, 5, 3, 4), (7, 8), 2, 1),
    ((9, 1, 3, 1), (8, 5), 2, 1),
    ((2, 2, 2, 3, 2), (4, 3, 4), 1, 1),
]


def drawn(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(sum(shape)))


def truth(weight: Tensor, image: tuple[int, ...], stride: int, groups: int) -> float:
    channels = weight.shape[1] * groups
    size = channels * int(torch.tensor(image).prod())
    basis = torch.eye(size, dtype=weight.dtype).reshape(size, channels, *image)
    outputs = CONVOLUTION[len(image)](basis, weight, None, stride, 1, 1, groups)
    return float(torch.linalg.matrix_norm(outputs.flatten(1), 2))


def made(weight: Tensor, stride: int, groups: int) -> Symbol:
    dims = weight.ndim - 2
    return symbol(weight, groups, [stride] * dims, [1] * dims)


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
@pytest.mark.parametrize(("shape", "image", "stride", "groups"), SHAPES)
def test_where_memory_ends_no_bound_is_below_the_svd(
    shape, image, stride, groups, dtype, monkeypatch
) -> None:
    monkeypatch.setattr(by_taps, "ROOM", 30_000)  # the matrices of all taps fit, no frequencies
    weight = drawn(*shape, dtype=dtype)
    found = made(weight, stride, groups)
    assert "GiB" in by_taps.too_large(found)
    sides = zip(image, shape[2:], strict=True)
    axes = [padded_axis(n, k, stride, 1, (n + 2 - k) // stride + 1) for n, k in sides]
    norm = truth(weight, image, stride, groups)
    for bound in (padded(found, axes), supremum(found), sampled(found, [9] * len(image))):
        assert norm * (1 - 1e-13) <= bound <= 3 * norm


def test_a_positive_kernel_is_bounded_by_the_sum_of_its_taps() -> None:
    weight = torch.ones(1, 1, 3, 3, dtype=torch.float64)
    assert by_taps.by_taps(made(weight, 1, 1)) == pytest.approx(9, rel=1e-12)


def test_unfolding_is_closer_than_the_sum_of_taps_and_left_out_where_it_is_large(
    monkeypatch,
) -> None:
    found = made(drawn(12, 12, 3, 3), 1, 1)
    taps = sum(float(torch.linalg.matrix_norm(tap, 2)) for tap in found.taps[0])
    assert by_taps.by_taps(found) < 0.8 * taps
    monkeypatch.setattr(by_taps, "ROOM", 0)
    assert by_taps.by_taps(found) == pytest.approx(taps, rel=1e-9)


@pytest.mark.integration
@pytest.mark.parametrize(
    ("shape", "stride", "groups"),
    [
        ((24, 16, 3, 3), 1, 1),
        ((32, 48, 3, 3), 2, 1),
        ((200, 8, 5), 1, 2),
        ((12, 1, 9, 9), 1, 12),
        ((6, 3, 3, 3, 3), 1, 1),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_what_is_planned_is_not_exceeded(shape, stride, groups, dtype, monkeypatch) -> None:
    for place in ("symbol", "by_taps"):
        module = sys.modules[f"lit_intriguing.solvers.spectral.{place}"]
        monkeypatch.setattr(module, "CHUNK", 2**14)
    found = made(drawn(*shape, dtype=dtype), stride, groups)
    with Peak() as peak:
        supremum(found)
    assert peak.peak <= 8 * by_taps.planned(found)


def test_the_plan_grows_with_channels_and_taps() -> None:
    def plan(channels: int, kernel: int) -> int:
        taps = torch.empty(1, kernel**2, channels, channels, dtype=torch.float64, device="meta")
        return by_taps.planned(Symbol(taps, (kernel, kernel)))

    sizes = [plan(*pair) for pair in itertools.product((1024, 4096), (3, 5))]
    assert sizes == sorted(sizes)
    assert plan(1024, 3) * 8 < 2 * 2**30 < plan(4096, 3) * 8
