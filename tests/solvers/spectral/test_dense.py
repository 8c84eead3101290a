from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import pytest
import torch
from threadpoolctl import threadpool_info, threadpool_limits
from torch import Tensor

from lit_intriguing.solvers.spectral import certified_norm, dense
from lit_intriguing.solvers.spectral.dense import (
    SINGLE,
    _reach,
    definite,
    definite_in_single,
    gram,
)


def draw(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(sum(shape)))


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (40, 7), (2, 4, 6, 3), (150, 300), (300, 290)])
def test_the_bound_is_not_below_the_svd_and_next_to_it(shape, dtype) -> None:
    matrix = draw(*shape, dtype=dtype)
    truth = torch.linalg.matrix_norm(matrix, 2)
    found = certified_norm(matrix)
    assert (found >= truth * (1 - 1e-13)).all()
    torch.testing.assert_close(found, truth, rtol=1e-9, atol=0)


@pytest.mark.parametrize("order", range(1, 40))
def test_a_norm_known_in_closed_form_is_not_undercut_by_a_unit(order: int) -> None:
    found = Fraction(float(certified_norm(torch.ones(order, order))))
    assert order <= found <= order * Fraction(1 + 1e-11)
    pair = certified_norm(torch.tensor([[float(order), 1.0]], dtype=torch.float64))
    assert order**2 + 1 <= Fraction(float(pair)) ** 2


@pytest.mark.parametrize("scale", [1e-320, 1e-200, 1e200, 1e305])
def test_entries_of_any_size_neither_overflow_nor_vanish(scale: float) -> None:
    found = float(certified_norm(torch.full((2, 2), scale, dtype=torch.float64)))
    assert 2 * scale <= found <= max(2 * scale * (1 + 1e-10), 1e-300)


def test_no_entries_zero_entries_and_infinite_entries() -> None:
    assert certified_norm(torch.zeros(3, 0, 4)).tolist() == [0, 0, 0]
    bad = torch.tensor([[[0.0]], [[torch.inf]], [[torch.nan]]])
    assert certified_norm(bad).tolist() == [0, torch.inf, torch.inf]


@pytest.mark.parametrize("shape", [(2, 300, 400), (2, 400, 300), (270, 270), (601, 520)])
def test_a_gram_matrix_put_together_from_blocks_is_the_product(shape) -> None:
    matrix = draw(*shape, dtype=torch.complex128)
    tall = matrix if shape[-2] >= shape[-1] else matrix.mH
    torch.testing.assert_close(gram(matrix).tril(), (tall.mH @ tall).tril())


def hermitian(values: Tensor) -> Tensor:
    """A matrix of these eigenvalues, its vectors drawn."""
    basis = torch.linalg.qr(draw(len(values), len(values), dtype=torch.complex128)).Q
    matrix = (basis * values) @ basis.mH
    return (matrix + matrix.mH) / 2


SPECTRA = {
    "all nearly equal": lambda n: 1 - 1e-6 * torch.arange(n, dtype=torch.float64),
    "one alone": lambda n: torch.cat([torch.ones(1), torch.zeros(n - 1)]).double(),
    "even": lambda n: torch.linspace(1, 0, n, dtype=torch.float64),
}


@pytest.mark.parametrize("scale", [1e-19, 1.0, 1e19])
@pytest.mark.parametrize("order", [64, 130, 256, 319])
@pytest.mark.parametrize("spectrum", SPECTRA)
def test_single_precision_proves_no_level_below_the_largest_eigenvalue(
    spectrum: str, order: int, scale: float
) -> None:
    squares = (scale * hermitian(SPECTRA[spectrum](order)))[None]
    rounded = squares.to(torch.complex64)
    before = rounded.clone()
    for share in (0.9, 0.999, 1 - 1e-6, 1 - 1e-12):
        level = torch.tensor([share * scale], dtype=torch.float64)
        assert not definite_in_single(squares, level)
        assert not definite_in_single(rounded, level)
        assert torch.equal(rounded, before)
    assert definite_in_single(squares, torch.tensor([1.03 * scale], dtype=torch.float64))


def test_single_precision_proves_levels_next_to_eigenvalues_that_are_nearly_equal() -> None:
    squares = hermitian(SPECTRA["all nearly equal"](256))[None]
    assert definite_in_single(squares, torch.tensor([1 + 3e-5], dtype=torch.float64))


@pytest.mark.parametrize("order", [1, 2, 64, 256])
@pytest.mark.parametrize("spread", [0.0, 0.1, 30.0])
def test_the_reach_of_rounding_is_at_least_the_norm_and_that_for_a_constant_diagonal(
    order: int, spread: float
) -> None:
    diagonal = torch.exp(spread * torch.rand(order, dtype=torch.float64))
    places = torch.arange(1, order + 1, dtype=torch.float64)
    entries = 2 * torch.minimum(places[:, None], places) * torch.outer(diagonal, diagonal).sqrt()
    norm = float(torch.linalg.matrix_norm(entries, 2)) + 8 * float(diagonal.sum())
    found = float(_reach(diagonal[None]))
    assert norm * (1 - 1e-12) <= found
    if not spread:
        assert found == pytest.approx(norm, rel=1e-9)


def test_single_precision_proves_nothing_of_other_orders_and_sizes_or_without_numbers() -> None:
    for order in (SINGLE.start - 1, SINGLE.stop):
        assert not definite_in_single(hermitian(torch.zeros(order))[None], torch.ones(1).double())
    squares = hermitian(torch.zeros(64))[None]
    for level in (1e-21, 1e21, 0.0, -1.0):
        assert not definite_in_single(squares, torch.tensor([level], dtype=torch.float64))
    for bad in (torch.nan, torch.inf):
        broken = squares.clone()
        broken[0, 40, 7] = bad
        assert not definite_in_single(broken, torch.ones(1).double())


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    """With one, SciPy factorises large matrices; with more, PyTorch."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("order", [1, 2, 63, 256])
@pytest.mark.parametrize("spectrum", SPECTRA)
@pytest.mark.parametrize("dtype", [torch.complex128, torch.float64])
def test_whole_matrices_are_proven_from_just_above_their_largest_eigenvalue(
    spectrum: str, order: int, dtype: torch.dtype
) -> None:
    squares = hermitian(SPECTRA[spectrum](order))
    if not dtype.is_complex:
        squares = torch.block_diag(squares.real, squares.real)
        squares = (squares + squares.mT) / 2
    top = float(torch.linalg.eigvalsh(squares)[-1])
    levels = torch.tensor([top * (1 - 1e-9), top * (1 + 1e-9), -1.0], dtype=torch.float64)
    batch = squares.expand(3, -1, -1)
    before = batch.clone()
    assert definite(batch, levels, whole=True).tolist() == [False, True, False]
    assert torch.equal(batch, before)
    assert torch.equal(definite(batch, levels), definite(batch, levels, whole=True))


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
@pytest.mark.parametrize("place", [(0, 0), (40, 7), (63, 63)])
def test_what_is_not_finite_is_not_proven(whole: bool, bad: float, place: tuple[int, int]) -> None:
    squares = hermitian(torch.zeros(64))[None]
    row, column = place
    squares[0, row, column] = squares[0, column, row] = bad
    assert not definite(squares, torch.ones(1).double(), whole=whole)


def blas_threads() -> list[int]:
    return [one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"]


@pytest.mark.skipif(not blas_threads(), reason="no BLAS whose threads can be counted")
def test_scipy_factorises_on_a_thread_of_its_own_where_pytorch_has_one(
    threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[int]] = []
    right = dense.get_lapack_funcs

    def watched(*args: Any, **kwargs: Any) -> Any:
        (factorise,) = right(*args, **kwargs)
        return [lambda *a, **k: seen.append(blas_threads()) or factorise(*a, **k)]

    monkeypatch.setattr(dense, "get_lapack_funcs", watched)
    with threadpool_limits(2, user_api="blas"):
        before = blas_threads()
        assert set(before) == {2}
        for order in (dense._SMALL - 1, 64):
            squares = hermitian(SPECTRA["even"](order))[None]
            assert definite(squares, torch.tensor([1.1], dtype=torch.float64), whole=True)
        assert blas_threads() == before
    assert seen == ([[1] * len(before)] if threads == 1 else [])
