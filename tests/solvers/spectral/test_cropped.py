import pytest
import torch
from torch.nn.functional import conv2d

from lit_intriguing.solvers.spectral import padded_axis, sampled, symbol
from lit_intriguing.solvers.spectral.cropped import Crop, cropped
from lit_intriguing.solvers.spectral.peak import find_peaks


def bounds(
    shape: tuple[int, ...], image: tuple[int, int], stride: int, padding: int, groups: int
) -> tuple[float, float, float | None]:
    """The true norm, the bound of samples alone, and that of samples and the edge."""
    generator = torch.Generator().manual_seed(sum(shape))
    weight = torch.randn(*shape, dtype=torch.float64, generator=generator)
    channels = shape[1] * groups
    size = channels * image[0] * image[1]
    basis = torch.eye(size, dtype=torch.float64).reshape(size, channels, *image)
    outputs = conv2d(basis, weight, None, stride, padding, 1, groups)
    truth = float(torch.linalg.matrix_norm(outputs.flatten(1), 2))
    found = symbol(weight, groups, [stride] * 2, [1] * 2)
    sides = zip(image, shape[2:], outputs.shape[2:], strict=True)
    axes = [padded_axis(n, kernel, stride, padding, made) for n, kernel, made in sides]
    samples = sampled(found, [one.period for one in axes])
    return truth, samples, cropped(found, find_peaks(found), axes)


CASES = [
    ((6, 6, 3, 3), (7, 8), 1, 1, 1),
    ((5, 8, 3, 3), (9, 7), 1, 0, 1),
    ((8, 5, 3, 3), (8, 8), 1, 1, 1),
    ((12, 4, 3, 3), (9, 9), 1, 2, 2),
    ((6, 3, 4, 3), (12, 11), 2, 1, 1),
    ((12, 2, 3, 5), (11, 12), 2, 2, 1),
    ((12, 12, 3, 1), (9, 4), 1, 1, 1),
]


@pytest.mark.parametrize("case", CASES)
def test_the_bound_is_not_below_the_svd(case) -> None:
    truth, samples, bound = bounds(*case)
    assert bound is None or truth * (1 - 1e-13) <= bound <= samples * 1.02


def test_it_is_closer_than_samples_alone() -> None:
    closer = 0
    for case in CASES:
        truth, samples, bound = bounds(*case)
        closer += bound is not None and bound - truth < 0.9 * (samples - truth)
    assert closer >= 3


def test_of_one_frequency_only_the_share_is_left() -> None:
    found = symbol(torch.ones(2, 2, 3, 3, dtype=torch.float64), 1, (1, 1), (1, 1))
    crop = Crop(found, (9, 8), (0.5, 0.0), (7, 6), 0)
    one = (torch.tensor([3.0], dtype=torch.float64), torch.ones(1, 1, dtype=torch.complex128))
    assert crop.kappa({(2, 3): one}) == pytest.approx(3 * 42 / 72)
    whole = Crop(found, (9, 8), (0.5, 0.0), (9, 8), 0)
    assert whole.kappa({(2, 3): one, (3, 3): one}) == pytest.approx(3)
    assert crop.kappa({(2, 3): one, (2, 4): one}) > 3 * 42 / 72


def test_what_the_few_add_is_the_norm_of_the_cropped_waves() -> None:
    generator = torch.Generator().manual_seed(0)
    found = symbol(torch.ones(3, 3, 3, 3, dtype=torch.float64), 1, (1, 1), (1, 1))
    crop = Crop(found, (6, 5), (0.5, 0.0), (4, 3), 0)
    few, total = {}, torch.zeros(36, 36, dtype=torch.complex128)
    for index in ((0, 1), (1, 1), (5, 4)):
        vector = torch.randn(2, 3, dtype=torch.complex128, generator=generator)
        excess = torch.rand(2, dtype=torch.float64, generator=generator)
        few[index] = (excess, vector)
        angles = crop.angles(torch.tensor([index]).double())[0]
        waves = [
            torch.exp(1j * torch.arange(n) * angle) / m**0.5
            for n, m, angle in zip(crop.kept, crop.sizes, angles, strict=True)
        ]
        wave = torch.outer(*waves).flatten()
        for e, c in zip(excess, vector, strict=True):
            full = torch.kron(wave, c)
            total += e * torch.outer(full, full.conj())
    assert crop.kappa(few) == pytest.approx(float(torch.linalg.eigvalsh(total)[-1]))


def test_complex_weights_are_left_to_others() -> None:
    found = symbol(torch.ones(3, 3, 3, 3, dtype=torch.complex128), 1, (1, 1), (1, 1))
    axes = [padded_axis(8, 3, 1, 1, 8)] * 2
    assert cropped(found, find_peaks(found), axes) is None
