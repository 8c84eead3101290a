import pytest
import torch
from torch.nn.functional import conv1d, conv2d, conv3d

from lit_intriguing.solvers.spectral import padded, padded_axis, sampled, symbol

CONVOLUTION = {1: conv1d, 2: conv2d, 3: conv3d}


def norms(
    shape: tuple[int, ...], image: tuple[int, ...], stride: int, padding: int, groups: int, dtype
) -> tuple[float, float, float]:
    """The true norm, the bound of samples alone, and the one that is exact in one dimension."""
    generator = torch.Generator().manual_seed(sum(shape))
    weight = torch.randn(*shape, dtype=dtype, generator=generator)
    dims, channels = len(image), shape[1] * groups
    size = channels * int(torch.tensor(image).prod())
    basis = torch.eye(size, dtype=dtype).reshape(size, channels, *image)
    outputs = CONVOLUTION[dims](basis, weight, None, stride, padding, 1, groups)
    truth = float(torch.linalg.matrix_norm(outputs.flatten(1), 2))
    found = symbol(weight, groups, [stride] * dims, [1] * dims)
    sides = zip(image, shape[2:], outputs.shape[2:], strict=True)
    axes = [padded_axis(n, kernel, stride, padding, made) for n, kernel, made in sides]
    return truth, sampled(found, [one.period for one in axes]), padded(found, axes)


@pytest.mark.parametrize("few", [0, 4096])
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
@pytest.mark.parametrize(
    ("shape", "image", "stride", "padding", "groups"),
    [
        ((3, 2, 3, 3), (6, 7), 1, 1, 1),
        ((2, 3, 3, 3), (6, 7), 1, 0, 1),
        ((4, 2, 3, 5), (9, 8), 2, 1, 2),
        ((9, 2, 3, 2), (7, 7), 2, 2, 1),
        ((2, 1, 3, 3, 2), (4, 5, 4), 1, 1, 1),
    ],
)
def test_the_bound_is_not_below_the_svd(
    shape, image, stride, padding, groups, dtype, few, monkeypatch
) -> None:
    monkeypatch.setattr("lit_intriguing.solvers.spectral.bounds.FEW", few)
    truth, _, bound = norms(shape, image, stride, padding, groups, dtype)
    assert truth * (1 - 1e-13) <= bound <= truth * 1.2


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("shape", [(2, 3, 4), (3, 2, 5), (7, 1, 5)])
def test_of_one_dimension_it_is_the_norm(shape, stride: int) -> None:
    truth, _, bound = norms(shape, (11,), stride, 2, 1, torch.float64)
    assert truth * (1 - 1e-13) <= bound
    if shape[0] <= shape[1] * stride:  # otherwise blocks that the image's edge cuts count whole
        assert bound <= truth * (1 + 2e-4)


def test_it_is_about_twice_as_close_as_samples_alone() -> None:
    truth, samples, bound = norms((4, 4, 3, 3), (8, 8), 1, 1, 1, torch.float64)
    assert bound - truth < 0.8 * (samples - truth)


def test_too_much_work_leaves_it_to_the_samples(monkeypatch) -> None:
    monkeypatch.setattr("lit_intriguing.solvers.spectral.stripes.WORK", 1.0)
    _, samples, bound = norms((3, 2, 3, 3), (6, 7), 1, 1, 1, torch.float64)
    assert bound == samples
