import itertools

import pytest
import torch
from torch import Tensor

from lit_intriguing.solvers.spectral import Symbol, padded_axis, sampled, supremum, symbol


def sampled_by_svd(found: Symbol, sizes: tuple[int, ...], thetas: tuple[float, ...]) -> float:
    axes = [torch.arange(m, dtype=torch.float64) + t for m, t in zip(sizes, thetas, strict=True)]
    angles = torch.cartesian_prod(*axes).reshape(-1, len(axes))
    angles = 2 * torch.pi * angles / torch.tensor(sizes)
    norms = [
        torch.linalg.matrix_norm(found.at(angles, torch.full((len(angles),), g)), 2).max()
        for g in range(len(found.taps))
    ]
    return float(max(norms))


def kernel(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
@pytest.mark.parametrize("few", [0, 4096])
@pytest.mark.parametrize("thetas", list(itertools.product([0.0, 0.5, 0.3], repeat=2)))
def test_samples_by_cells_are_as_great_as_one_by_one(dtype, few, thetas, monkeypatch) -> None:
    monkeypatch.setattr("lit_intriguing.solvers.spectral.bounds.FEW", few)
    found = symbol(kernel(4, 3, 3, 5, dtype=dtype), 2, (1, 2), (1, 1))
    truth = sampled_by_svd(found, (9, 8), thetas)
    assert truth * (1 - 1e-13) <= sampled(found, (9, 8), thetas) <= truth * (1 + 1e-5)


def test_the_symbol_at_zero_is_the_sum_of_the_taps_of_each_phase() -> None:
    weight = kernel(3, 2, 5)
    found = symbol(weight, 1, (2,), (1,))
    zero = found.at(torch.zeros(1, 1, dtype=torch.float64), torch.zeros(1, dtype=torch.long))[0]
    phases = [weight[..., 0::2].sum(-1), weight[..., 1::2].sum(-1)]
    torch.testing.assert_close(zero.real, torch.stack(phases, -1).flatten(1))


def test_a_symbol_of_zeros_has_the_norm_0() -> None:
    found = symbol(torch.zeros(2, 2, 3, 3, dtype=torch.float64), 1, (1, 1), (1, 1))
    assert sampled(found, (8, 1024)) == 0.0
    assert supremum(found) == 0.0


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_the_supremum_is_not_undercut_and_within_its_tolerance(dims: int) -> None:
    found = symbol(kernel(2, 2, *[3] * dims), 1, [1] * dims, [1] * dims)
    fine = sampled_by_svd(found, (24,) * dims, (0.0,) * dims)
    bound = supremum(found)
    assert fine <= bound
    steep = dims * torch.pi / 24  # from sample to sample the norm falls at most by this cosine
    assert bound <= fine / float(torch.cos(torch.tensor(steep))) * (1 + 1e-3)


def test_a_supremum_at_which_products_of_cosines_fail_is_not_undercut() -> None:
    weight = torch.zeros(1, 1, 3, 3, dtype=torch.float64)
    weight[0, 0, [0, 0, 2, 2], [0, 2, 0, 2]] = torch.tensor([0.4, 0.1, 0.1, 0.4]).double()
    assert 1 <= supremum(symbol(weight, 1, (1, 1), (1, 1))) <= 1.001


def test_periods_keep_outputs_and_pixels_apart() -> None:
    """By hand: which taps lead from which pixel to which output, with and without wrapping."""
    ranges = [range(1, 7), range(1, 5), range(1, 4), range(6), range(1, 6)]
    for image, taps, stride, before, outputs in itertools.product(*ranges):
        m = padded_axis(image, taps, stride, before, outputs).period
        pairs = [(i, i * stride + j - before, j) for i in range(outputs) for j in range(taps)]
        inside = {(i, u, j) for i, u, j in pairs if 0 <= u < image}
        if m == 0:
            assert not inside
            continue
        used = sorted({i for i, _, _ in inside})
        assert len({i % m for i in used}) == len(used)
        wrapped = {
            (i, v, j)
            for i, u, j in pairs
            if i in used
            for v in {u for _, u, _ in inside}
            if (u - v) % (m * stride) == 0
        }
        assert wrapped == inside
