"""Certified upper bounds of the largest singular values of matrices."""

import functools
import math
import threading

import numpy as np
import torch
from scipy.linalg import get_lapack_funcs
from threadpoolctl import ThreadpoolController
from torch import Tensor

from lit_intriguing.solvers.spectral.lanczos import top_eigenvector
from lit_intriguing.solvers.spectral.rounding import (
    SINGLE_UNIT,
    UNIT,
    frobenius,
    gamma,
    greatest_entry,
    rounded_up,
    scaled,
)

WIDE = 256
"""Order up to which a block of a Gram matrix is computed whole."""

SINGLE = range(64, 320)
"""Orders at which a factorisation in single precision saves time and still proves something."""

ALL = 512
"""Order up to which all eigenvalues are computed."""

_SMALL = 48
"""Order below which PyTorch's factorisation of many matrices at once is faster."""

_LIMITING = threading.Lock()
"""The number of threads is one of the process: two who set it would restore each other's."""

_NUMPY = {
    torch.float32: np.float32,
    torch.float64: np.float64,
    torch.complex64: np.complex64,
    torch.complex128: np.complex128,
}


def certified_norm(matrix: Tensor) -> Tensor:
    """Bound the largest singular value of each matrix from above, rounding included.

    An estimate `tau` of the largest singular value is certified by a Cholesky factorisation of
    `tau^2 I - A* A` (of the smaller side): if it succeeds, the smallest eigenvalue of that matrix
    is at least a known, tiny negative number (Rump 2006, *Verification of positive definiteness*).

    Args:
        matrix: `(..., m, n)`, real or complex; taken in float64.

    Returns:
        `(...)` float64: not below the largest singular value, and above it by rounding alone, a
        few `n^2` units of 1.1e-16, or where both sides exceed 512 by about 1e-6; infinite where
        an entry is not finite.
    """
    if matrix.numel() == 0:
        return torch.zeros(matrix.shape[:-2], dtype=torch.float64)
    wide = torch.complex128 if matrix.is_complex() else torch.float64
    flat = matrix.detach().to(wide).reshape(-1, *matrix.shape[-2:])
    bounds = [_certified(single) for single in flat]
    return torch.tensor(bounds, dtype=torch.float64).reshape(matrix.shape[:-2])


def _certified(matrix: Tensor) -> float:
    greatest = greatest_entry(matrix)
    if greatest == 0 or not math.isfinite(greatest):
        return 0.0 if greatest == 0 else math.inf
    matrix, scale = scaled(matrix)
    squares = gram(matrix)
    estimate, extra = top_eigenvalue(squares), squares.shape[-1] * UNIT
    if squares.shape[-1] > ALL:
        extra = 1e-6
    while True:
        level = estimate * (1 + extra)
        if bool(definite(squares[None], torch.tensor([level], dtype=torch.float64))):
            error = gamma(max(matrix.shape)) * float(frobenius(matrix)) ** 2
            return rounded_up(scale * norm_below(level, len(squares), error))
        extra *= 4


def gram(matrix: Tensor) -> Tensor:
    """Return the lower triangle of `A* A` or `A A*`, whichever is smaller.

    Args:
        matrix: `(..., m, n)` float64 or complex128.

    Returns:
        `(..., k, k)`, k the smaller of m and n; what stands above the diagonal is undefined.
    """
    rows = matrix if matrix.shape[-2] < matrix.shape[-1] else matrix.mH
    squares = rows.new_zeros(*rows.shape[:-1], rows.shape[-2])
    _fill_lower(squares, rows)
    return squares


def _fill_lower(squares: Tensor, rows: Tensor) -> None:
    """By halves, so that most of the products are large and few of their entries needless."""
    order = rows.shape[-2]
    if order <= WIDE:
        squares.copy_(rows @ rows.mH)
        return
    half = order // 2
    upper, lower = rows[..., :half, :], rows[..., half:, :]
    squares[..., half:, :half] = lower @ upper.mH
    _fill_lower(squares[..., :half, :half], upper)
    _fill_lower(squares[..., half:, half:], lower)


def clearly_below(squares: Tensor, levels: Tensor) -> Tensor:
    """Whether the Frobenius norm of each Gram matrix is at most its level, as for `definite`."""
    return frobenius(squares) <= levels


def definite(squares: Tensor, levels: Tensor, *, whole: bool = False) -> Tensor:
    """Whether `level I - G` passes a Cholesky factorisation in floating point, for each matrix.

    Args:
        squares: `(B, k, k)` Hermitian; the lower triangle counts.
        levels: `(B,)` float64.
        whole: Whether the upper triangle is there as well, which saves time.

    Returns:
        `(B,)` bool. Where true, the largest singular value of A is at most `norm_below`.
    """
    shifted = -squares
    shifted.diagonal(dim1=-2, dim2=-1).add_(levels.to(squares.device)[:, None])
    if shifted.shape[-1] > ALL and len(shifted) == 1:
        return torch.tensor([_factorises(shifted[0])])
    return _whole_ones_pass(shifted) if whole else _passes(shifted)


def _whole_ones_pass(matrices: Tensor) -> Tensor:
    """Whether the Cholesky factorisation of each whole Hermitian matrix goes through: `(B,)` bool.

    They are overwritten. Of large ones SciPy's LAPACK takes 0.6 to 0.7 of PyTorch's time on one
    thread, in the lower triangle of columns: here that is the upper one of rows, which is the
    other's conjugate.
    """
    order, alone = matrices.shape[-1], torch.get_num_threads() == 1
    if matrices.device.type != "cpu" or order < _SMALL or not alone:
        return _passes(matrices)
    (factorise,) = get_lapack_funcs(("potrf",), dtype=_NUMPY[matrices.dtype])
    passed = []
    # Its own threads, which on busy cores wait for each other a hundred times as long as they work.
    with _LIMITING, _thread_pools().limit(limits=1, user_api="blas"):
        for matrix in matrices.contiguous().numpy():
            factor, info = factorise(matrix.T, lower=True, clean=False, overwrite_a=True)
            # OpenBLAS takes NaN for positive.
            passed.append(info == 0 and bool((factor.diagonal().real > 0).all()))
    return torch.tensor(passed, dtype=torch.bool)


@functools.cache
def _thread_pools() -> ThreadpoolController:
    return ThreadpoolController()  # looks at all libraries that are loaded


def _passes(matrices: Tensor) -> Tensor:
    passed: Tensor = torch.linalg.cholesky_ex(matrices).info == 0
    return passed


def single_pays(order: int, device: torch.device) -> bool:
    """Whether `definite_in_single` may prove anything: not where a GPU rounds as it likes."""
    return order in SINGLE and device.type == "cpu"


def definite_in_single(squares: Tensor, levels: Tensor) -> Tensor:
    """Whether a factorisation in complex64 proves what `definite` does, in half of its time.

    In exact arithmetic: where true, no eigenvalue of the complex128 matrix exceeds the level. A
    factorisation of A in floating point that runs to its end is that of a matrix whose entries
    are at most `sqrt(2) u (2 min(i, j) + 8) sqrt(A_ii A_jj)` away, as many products as the sum of
    an entry has (Higham 2002, theorem 10.3; in complex arithmetic there are twice the products,
    and two such errors make one): see `_reach`. Rounding A to complex64 moves it by a unit of its
    Frobenius norm. Both are taken from the level before.

    Args:
        squares: `(B, k, k)` complex128, or those rounded to complex64, whole Hermitian matrices.
        levels: `(B,)` float64.

    Returns:
        `(B,)` bool; where false, nothing is known. Always false where it does not pay, and of
        levels near the limits of float32.
    """
    order, usable = squares.shape[-1], (levels > 1e-20) & (levels < 1e20)
    if not single_pays(order, squares.device):
        return torch.zeros_like(usable)
    rest = levels[:, None] - squares.diagonal(dim1=-2, dim2=-1).real.double()
    # 1.5 for terms of second order and the few further roundings of blocked factorisations.
    off = 1.5 * math.sqrt(2) * SINGLE_UNIT * _reach(rest.clamp(min=0))
    # Far from 1 squares of single precision are no normal numbers.
    middling = bool(((levels > 1e-8) & (levels < 1e8)).all())
    sizes = frobenius(squares if middling else squares.to(torch.complex128))
    off += 2 * SINGLE_UNIT * (levels + sizes)
    lower = levels - off
    single = squares.to(torch.complex64, copy=True).neg_()
    single.diagonal(dim1=-2, dim2=-1).add_(lower[:, None])
    return _whole_ones_pass(single) & (lower > 0) & usable


def _reach(diagonals: Tensor) -> Tensor:
    """Bound the norm of the matrix `(2 min(i, j) + 8) sqrt(a_i a_j)`: `(B, k)` to `(B,)`.

    With ones for a, the norm of `min(i, j)`, i and j from 1 to k, is
    `1 / (4 sin^2(pi / (4 k + 2)))` (the inverse is tridiagonal), about `0.41 k^2`; and `min(i, j)`
    is at most k.
    """
    order, traces = diagonals.shape[-1], diagonals.sum(-1)
    even = diagonals.amax(-1) / (4 * math.sin(math.pi / (4 * order + 2)) ** 2)
    return 2 * torch.minimum(even, order * traces) + 8 * traces


def _factorises(matrix: Tensor) -> bool:
    """Whether the Cholesky factorisation goes through, by blocks: twice as fast as in one.

    The lower triangle is overwritten.
    """
    ends = [*range(ALL, len(matrix), ALL), len(matrix)]
    for start, end in zip([0, *ends], ends, strict=False):
        factor, info = torch.linalg.cholesky_ex(matrix[start:end, start:end])
        if info:
            return False
        below = torch.linalg.solve_triangular(
            factor.mH, matrix[end:, start:end], upper=True, left=False
        )
        for first in range(end, len(matrix), ALL):  # the upper blocks need not be computed
            rows = below[first - end :]
            matrix[first:, first : first + ALL] -= rows @ rows[:ALL].mH
    return True


def norm_below(level: float, order: int, error: float) -> float:
    """Return the certified norm of a matrix whose computed Gram matrix passed `definite`.

    Args:
        level: `tau^2`.
        order: k, of the Gram matrix.
        error: At least the norm of the Gram matrix's own error; of a product of matrices at most
            `gamma(m)` times the squared Frobenius norm, m the length of the sums.

    Returns:
        `sqrt(tau^2 + errors)`: that of the factorisation is at most `gamma(k + 1)` times the
        trace of `tau^2 I - G`.
    """
    return rounded_up(math.sqrt(level * (1 + order * gamma(order)) + error))


def top_eigenvalue(squares: Tensor) -> float:
    """Estimate the largest eigenvalue of a Hermitian matrix `(k, k)`, to 1e-6 or better.

    The lower triangle counts.
    """
    if squares.shape[-1] <= ALL:
        return float(torch.linalg.eigvalsh(squares)[-1])
    # An estimate can do with half of the memory traffic; the certificate is in float64.
    single = squares.to(torch.complex64 if squares.is_complex() else torch.float32)
    single.tril_()
    single += single.tril(-1).mH
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(len(single), dtype=torch.float64, generator=generator)
    return top_eigenvector(lambda x: single @ x, start.to(single))[0]
