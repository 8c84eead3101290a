import pytest
import torch

from lit_intriguing.solvers.spectral import symbol


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
@pytest.mark.parametrize("shape", [(4, 3, 3, 5), (8, 1, 2, 3), (2, 2, 4), (2, 1, 2, 3, 2)])
def test_gram_matrices_from_coefficients_are_the_products(shape, dtype) -> None:
    generator = torch.Generator().manual_seed(1)
    dims = len(shape) - 2
    weight = torch.randn(*shape, dtype=dtype, generator=generator)
    found = symbol(weight, 2, [2, *[1] * (dims - 1)], [1] * dims)
    angles = 6 * torch.rand(5, dims, dtype=torch.float64, generator=generator)
    groups = torch.tensor([0, 1, 1, 0, 1])
    matrices = found.at(angles, groups)
    rows, columns = matrices.shape[1:]
    products = matrices @ matrices.mH if rows <= columns else matrices.mH @ matrices
    squares = found.squares_at(angles, groups)
    torch.testing.assert_close(squares, products, rtol=0, atol=1e-13 * float(products.abs().max()))
    assert found.squares_error < 1e-11 * float(products.abs().max())
    vector = torch.randn(products.shape[-1], dtype=torch.complex128, generator=generator)
    coefficients, offsets = found.squares_along(1, vector)
    value = 2 * (torch.exp(1j * (offsets @ angles[1])) @ coefficients).real
    torch.testing.assert_close(value, (vector.conj() @ products[1] @ vector).real)
