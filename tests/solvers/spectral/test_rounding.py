import pytest
import torch

from lit_intriguing.solvers.spectral.rounding import frobenius


@pytest.mark.parametrize("dtype", [torch.float32, torch.complex64, torch.float64])
@pytest.mark.parametrize("side", [3, 256, 600])
def test_the_frobenius_norm_is_not_undercut_and_no_tenth_above(
    dtype: torch.dtype, side: int
) -> None:
    matrix = torch.rand(2, side, side, generator=torch.Generator().manual_seed(0)).to(dtype)
    wide = torch.complex128 if dtype.is_complex else torch.float64
    truth = torch.linalg.matrix_norm(matrix.to(wide))
    found = frobenius(matrix)
    assert found.dtype == torch.float64
    assert bool((found >= truth).all())
    assert bool((found <= 1.1 * truth).all())
