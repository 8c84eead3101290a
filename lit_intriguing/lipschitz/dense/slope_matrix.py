"""The matrix inequality that bounds a stack of dense layers, and its proof."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from lit_intriguing.lipschitz.layers.activations import Slopes
from lit_intriguing.solvers.spectral.rounding import frobenius, gamma


@dataclass(frozen=True)
class SlopeMatrix:
    """The inequality `A(t, T) >= 0`, linear in t and T, from which `L^2 <= t` follows.

    For `y = W v_m`, `v_k = phi_k(W_k v_{k-1} + b_k)`, `v_0 = x` and differences of two inputs
    `d`, each unit with slopes in `[lo, hi]` has `(dv - lo du) (hi du - dv) >= 0` with `du =
    W_k dv_{k-1}`. With weights `T >= 0` of these (Fazlyab et al. 2019, LipSDP-Neuron)::

        t |dx|^2 - |dy|^2  >=  t |dx|^2 - |dy|^2 - sum_k 2 (dv - lo du)' T_k (hi du - dv)

    and `A` is the matrix of the right side in `(dx, dv_1, .., dv_m)`. Where it is positive
    semidefinite, `|dy|^2 <= t |dx|^2`. The unit i of layer k, of row w of `W_k`, adds
    `T_i (2 e e' - (lo + hi) (e w' + w e') + 2 lo hi w w')`, of rank 2.

    Attributes:
        weights: `W_1 .. W_m`, float64, `(n_k, n_{k-1})`; m at least 1.
        slopes: Of each of the m activations, `lo < hi`.
        output: `S >= W' W` for each of B last layers, `(B, n_m, n_m)`.
    """

    weights: tuple[Tensor, ...]
    slopes: tuple[Slopes, ...]
    output: Tensor

    @property
    def inputs(self) -> int:
        """Size of x."""
        return self.weights[0].shape[1]

    @property
    def units(self) -> int:
        """All hidden units, n."""
        return sum(len(weight) for weight in self.weights)

    @property
    def size(self) -> int:
        """Rows of A: of x and of all units."""
        return self.inputs + self.units

    @cached_property
    def rows(self) -> Tensor:
        """Each unit's w, in the place of the layer before it: columns of `(size, n)`."""
        rows = torch.zeros(self.size, self.units, dtype=torch.float64)
        top, left = 0, 0
        for weight in self.weights:
            after, before = weight.shape
            rows[top : top + before, left : left + after] = weight.mT
            top, left = top + before, left + after
        return rows

    @cached_property
    def sums(self) -> Tensor:
        """`lo + hi` of each unit, `(n,)`."""
        return self._each_unit([lo + hi for lo, hi in self.slopes])

    @cached_property
    def products(self) -> Tensor:
        """`lo hi` of each unit, `(n,)`."""
        return self._each_unit([lo * hi for lo, hi in self.slopes])

    def by_layer(self, multipliers: Tensor) -> tuple[Tensor, ...]:
        """Return T `(B, n)` layer by layer: `(B, n_k)` each."""
        return torch.split(multipliers, [len(weight) for weight in self.weights], 1)

    def _each_unit(self, values: Sequence[float]) -> Tensor:
        sizes = torch.tensor([len(weight) for weight in self.weights])
        return torch.tensor(values, dtype=torch.float64).repeat_interleave(sizes)

    def matrix(self, t: Tensor, multipliers: Tensor) -> Tensor:
        """Return A, `(B, size, size)`, of t `(B,)` and T `(B, n)`, as float64 has it."""
        return self._assembled(t, multipliers, self.rows, -self.sums, self.products, -self.output)

    def rounding(self, t: Tensor, multipliers: Tensor) -> Tensor:
        """Return what the rounding of each entry of A cannot exceed, `(B, size, size)`.

        The sum of the sizes of its terms, times the relative error of one of as many operations.
        """
        terms = (self.rows.abs(), self.sums.abs(), self.products.abs(), self.output.abs())
        return gamma(self.units + 8) * self._assembled(t, multipliers, *terms)

    def _assembled(
        self,
        t: Tensor,
        multipliers: Tensor,
        rows: Tensor,
        cross: Tensor,
        square: Tensor,
        out: Tensor,
    ) -> Tensor:
        inputs, last = self.inputs, self.size - self.output.shape[-1]
        a = torch.zeros(len(t), self.size, self.size, dtype=torch.float64)
        if bool(square.any()):
            a += (rows * (2 * square * multipliers).unsqueeze(1)) @ rows.mT
        half = rows * (cross * multipliers).unsqueeze(1)
        a[:, :, inputs:] += half
        a[:, inputs:, :] += half.mT
        diagonal = a.diagonal(dim1=1, dim2=2)
        diagonal[:, :inputs] += t.unsqueeze(1)
        diagonal[:, inputs:] += 2 * multipliers
        a[:, last:, last:] += out
        return a

    def holds(self, t: Tensor, multipliers: Tensor) -> Tensor:
        """Return for which of B problems `A(t, T) > 0` is proven, rounding included: `(B,)`."""
        error = self.rounding(t, multipliers)
        return proven_definite(self.matrix(t, multipliers), error) & (multipliers >= 0).all(1)

    def least(self, multipliers: Tensor) -> Tensor:
        """Return about the least t, `(B,)`, for which `A(t, T) >= 0`; NaN where there is none.

        The largest eigenvalue of what is left of A, without t, when the units are eliminated.
        """
        inputs, zero = self.inputs, multipliers.new_zeros(len(multipliers))
        a = self.matrix(zero, multipliers)
        lower, info = torch.linalg.cholesky_ex(a[:, inputs:, inputs:])
        half = torch.linalg.solve_triangular(lower, a[:, inputs:, :inputs], upper=False)
        left = half.mT @ half - a[:, :inputs, :inputs]
        broken = (info > 0) | ~left.isfinite().all(2).all(1)
        left = torch.where(broken.view(-1, 1, 1), 0.0, left)
        return torch.where(broken, torch.nan, torch.linalg.eigvalsh(left)[:, -1])


def proven_definite(matrix: Tensor, error: Tensor) -> Tensor:
    """Prove matrices positive definite, in spite of rounding.

    Rump 2006, "Verification of positive definiteness", theorem 2.3: if the Cholesky factorisation
    of `A - c I` runs to its end in floating point, with c as below, A is positive definite.
    Scaled by powers of two to a diagonal near 1, which is exact.

    Args:
        matrix: Symmetric, float64, `(B, n, n)`.
        error: How far each entry may be off, `(B, n, n)`.

    Returns:
        Where the proof succeeds, bool `(B,)`; elsewhere nothing is known.
    """
    n = matrix.shape[-1]
    diagonal = matrix.diagonal(dim1=1, dim2=2)
    usable = (diagonal > 0).all(1) & matrix.isfinite().all(2).all(1)
    scale = torch.exp2((diagonal.clamp(1e-290, 1e290).log2() / -2).round())
    both = scale.unsqueeze(1) * scale.unsqueeze(2)
    scaled = matrix * both
    trace = scaled.diagonal(dim1=1, dim2=2).sum(1)
    margin = gamma(n) * trace + 2 * frobenius(error * both)
    scaled.diagonal(dim1=1, dim2=2).sub_(margin.unsqueeze(1))
    scaled = torch.where(usable.view(-1, 1, 1), scaled, torch.eye(n, dtype=torch.float64))
    info: Tensor = torch.linalg.cholesky_ex(scaled).info
    return (info == 0) & usable & margin.isfinite()
