import pytest
import torch
from torch import Tensor

from lit_intriguing.solvers.spectral.toeplitz import Toeplitz

DTYPES = [torch.float64, torch.complex128]
SIZES = [(3, 2, 3, 5), (1, 2, 2, 3), (4, 3, 2, 2), (2, 3, 5, 6)]


def drawn(count: int, rows: int, columns: int, blocks: int, dtype: torch.dtype) -> Toeplitz:
    generator = torch.Generator().manual_seed(0)
    kept = torch.ones(blocks + count - 1, columns, dtype=torch.bool)
    kept[0, : columns // 2] = False
    kept[-1, 0] = False
    return Toeplitz(torch.randn(count, rows, columns, dtype=dtype, generator=generator), kept)


def norm_by_svd(matrix: Toeplitz) -> float:
    count, rows, columns = matrix.taps.shape
    full = torch.zeros(matrix.rows, rows, len(matrix.kept), columns, dtype=matrix.taps.dtype)
    for row in range(matrix.rows):
        for q in range(count):
            full[row, :, row + q] = matrix.taps[q]
    flat: Tensor = (full * matrix.kept).flatten(2).flatten(0, 1)
    return float(torch.linalg.matrix_norm(flat, 2))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("sizes", SIZES)
def test_a_target_passes_above_the_norm_and_not_below(sizes, dtype) -> None:
    matrix = drawn(*sizes, dtype=dtype)
    truth = norm_by_svd(matrix)
    assert matrix.passes(truth * (1 + 1e-9))
    assert not matrix.passes(truth * (1 - 1e-9))
    assert truth <= matrix.norm_below(truth) <= truth * (1 + 1e-9)
    assert matrix.estimate() == pytest.approx(truth, rel=1e-5)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("sizes", SIZES)
def test_turned_it_has_the_norm_of_the_blocks_as_a_whole(sizes, dtype) -> None:
    matrix = drawn(*sizes, dtype=dtype)
    whole = Toeplitz(matrix.taps, matrix.kept.any(1, keepdim=True).expand_as(matrix.kept))
    assert norm_by_svd(matrix.turned()) == pytest.approx(norm_by_svd(whole), rel=1e-12)


def test_rows_beside_the_image_are_left_out_when_turned() -> None:
    matrix = drawn(3, 2, 2, 4, dtype=torch.float64)
    matrix.kept[0] = matrix.kept[-1] = False
    assert matrix.turned().rows == 4
    assert norm_by_svd(matrix.turned()) == pytest.approx(norm_by_svd(matrix), rel=1e-12)
