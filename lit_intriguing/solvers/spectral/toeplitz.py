"""Norms of finite block Toeplitz matrices, certified by a Cholesky factorisation of their band."""

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from lit_intriguing.solvers.spectral.dense import norm_below
from lit_intriguing.solvers.spectral.lanczos import top_eigenvector
from lit_intriguing.solvers.spectral.rounding import frobenius, gamma


@dataclass(frozen=True)
class Toeplitz:
    """`y_i = sum_q taps[q] x_(i + q)`, i = 0 ... R - 1, with some entries of x left out.

    Attributes:
        taps: `(Q, m, n)`, float64 or complex128.
        kept: `(R + Q - 1, n)` bool, which entries of x there are.
    """

    taps: Tensor
    kept: Tensor

    @property
    def rows(self) -> int:
        """R, blocks of rows."""
        return len(self.kept) - len(self.taps) + 1

    @property
    def work(self) -> float:
        """About the multiplications of a factorisation, a complex one counted as four."""
        return 4.0 * self.rows * self.taps.shape[1] ** 3 * len(self.taps) ** 2

    def turned(self) -> "Toeplitz":
        """Return the adjoint without zero rows at both ends; its norm is at least this one's.

        Of a block of x that is there in part it takes the whole.
        """
        count = len(self.taps)
        there = self.kept.any(1).nonzero()[:, 0]
        first, last = int(there[0]), int(there[-1])
        index = torch.arange(first, last + count) - count + 1
        inside = (index >= 0) & (index < self.rows)
        return Toeplitz(self.taps.mH.flip(0), inside[:, None].expand(-1, self.taps.shape[1]))

    def estimate(self) -> float:
        """Return the norm, to 1e-6 or so, by Lanczos in half the precision."""
        count, rows, columns = self.taps.shape
        narrow = self.taps.to(torch.complex64 if self.taps.is_complex() else torch.float32)
        back = narrow.conj().transpose(0, 1).reshape(rows, count * columns)
        forth = narrow.mT.reshape(count * columns, rows)

        def apply(y: Tensor) -> Tensor:
            parts = (y.reshape(-1, rows) @ back).reshape(-1, count, columns)
            x = parts.new_zeros(self.kept.shape)
            for q in range(count):
                x[q : q + self.rows] += parts[:, q]
            x *= self.kept
            windows = torch.stack([x[q : q + self.rows] for q in range(count)], 1)
            return (windows.flatten(1) @ forth).flatten()

        generator = torch.Generator().manual_seed(0)
        start = torch.randn(self.rows * rows, dtype=torch.float64, generator=generator)
        return math.sqrt(max(0.0, top_eigenvector(apply, start.to(narrow))[0]))

    def passes(self, tau: float) -> bool:
        """Whether `tau^2 I - T T*` factorises; then `norm_below` bounds the norm.

        The factor has the band of the matrix: what is left out here would be products with zeros.
        """
        size = self.taps.shape[1]
        factor: list[Tensor] = []  # of each row of blocks those in the band, side by side
        for row in range(self.rows):
            first = max(0, row - len(self.taps) + 1)
            mine = self.taps.new_empty(size, (row - first + 1) * size)
            for column in range(first, row):
                done, skipped = (column - first) * size, first - max(0, column - len(self.taps) + 1)
                other = factor[column][:, skipped * size :]
                rest = -self._gram(row, column) - mine[:, :done] @ other[:, :done].mH
                mine[:, done : done + size] = torch.linalg.solve_triangular(
                    other[:, done:].mH, rest, upper=True, left=False
                )
            before = mine[:, : (row - first) * size]
            rest = -self._gram(row, row) - before @ before.mH
            rest.diagonal().add_(tau * tau)
            mine[:, (row - first) * size :], info = torch.linalg.cholesky_ex(rest)
            if info:
                return False
            factor.append(mine)
        return True

    def norm_below(self, tau: float) -> float:
        """Return the certified norm where `passes` said yes."""
        count, rows, columns = self.taps.shape
        total = self.rows * float(frobenius(self.taps).square().sum())
        error = gamma(count * (columns + 1)) * total
        return norm_below(tau * tau, self.rows * rows, error)

    def _gram(self, row: int, column: int) -> Tensor:
        """Return the block of `T T*`, column at most row."""
        size, last = self.taps.shape[1], column + len(self.taps) - 1
        found = self.taps.new_zeros(size, size)
        for place in range(row, last + 1):
            found += self._products[int(self._masks[1][place])][place - row, :, place - column]
        return found

    @cached_property
    def _masks(self) -> tuple[Tensor, Tensor]:
        """The different rows of `kept`, and which one each is."""
        different, which = torch.unique(self.kept, dim=0, return_inverse=True)
        return different, which

    @cached_property
    def _products(self) -> list[Tensor]:
        """`taps[p] taps[q]*` for all p and q, `(Q, m, Q, m)`, of each mask's columns."""
        count, size = self.taps.shape[:2]
        flats = [self.taps[:, :, mask].flatten(0, 1) for mask in self._masks[0]]
        return [(flat @ flat.mH).reshape(count, size, count, size) for flat in flats]
