"""The symbol of a convolution: the matrix that it is at each frequency."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from lit_intriguing.solvers.spectral.rounding import UNIT, gamma

CHUNK = 2**19
"""Numbers of a batch of matrices that are worked on at once: they stay in the cache."""


@dataclass(frozen=True)
class Symbol:
    """`A(xi) = sum_q taps[q] exp(i q xi)`, for each group of channels.

    The paper's section 4.3 has the filters' Fourier transforms at `xi` and its aliases side by
    side; these are the polyphase components, which a unitary matrix leads to the aliases.

    Attributes:
        taps: `(G, K, rows, columns)`, K = the product of `counts`, float64 or complex128.
        counts: Q, the number of taps of a phase, in each dimension.
    """

    taps: Tensor
    counts: tuple[int, ...]

    @cached_property
    def offsets(self) -> Tensor:
        """The q of each tap, `(K, d)`."""
        lines = [torch.arange(count, dtype=torch.float64) for count in self.counts]
        return torch.cartesian_prod(*lines).reshape(-1, len(lines)).to(self.taps.device)

    @property
    def shifts(self) -> int:
        """K', the number of Gram matrices that are stored: one of each pair of shifts."""
        return (math.prod(2 * count - 1 for count in self.counts) + 1) // 2

    @property
    def batch(self) -> int:
        """Frequencies whose Gram matrices, and angles, are worked on at once."""
        return max(1, CHUNK // max(1, min(self.taps.shape[-2:]) ** 2, self.shifts))

    @cached_property
    def adjoint(self) -> "Symbol":
        """`A*` times the phase that makes it a symbol; its norms are the same."""
        return Symbol(self.taps.mH.flip(1), self.counts)

    @cached_property
    def error(self) -> float:
        """At most the Frobenius norm of the rounding error of `at`, angles within 2 pi."""
        sizes = torch.linalg.vector_norm(self.taps, dim=(-2, -1)).sum(-1)
        return 2 * (self._phase_error + gamma(len(self.offsets))) * float(sizes.max())

    @cached_property
    def squares_error(self) -> float:
        """At most the norm of the rounding error of `squares_at`, angles within 2 pi.

        Entry by entry it is a small multiple of `(sum_q |taps[q]|) (sum_q |taps[q]|)*`.
        """
        terms = len(self.offsets) * (1 + max(self.taps.shape[-2:]))
        offsets = 2 ** len(self.counts) * len(self.offsets)
        total = float(self.taps.abs().sum(1).square().sum((-2, -1)).max()) * (1 + 1e-9)
        return (8 * self._phase_error + gamma(terms) + gamma(offsets)) * total

    @property
    def _phase_error(self) -> float:
        turns = 2 * math.pi * sum(count - 1 for count in self.counts)
        return UNIT * (turns * (len(self.counts) + 8) + 8)

    def at(self, angles: Tensor, groups: Tensor) -> Tensor:
        """Evaluate at frequencies.

        Args:
            angles: `(B, d)`, radians in [-2 pi, 2 pi].
            groups: `(B,)`: of which group of channels.

        Returns:
            `(B, rows, columns)`, complex.
        """
        return _evaluated(self.taps, self.offsets, angles, groups)

    def squares_at(self, angles: Tensor, groups: Tensor, *, single: bool = False) -> Tensor:
        """Evaluate `A* A` or `A A*`, whichever is smaller, at frequencies; see `at`.

        Args:
            angles: As there.
            groups: As there.
            single: Whether rounded to complex64, which saves memory traffic.

        Returns:
            `(B, k, k)`, complex, Hermitian.
        """
        coefficients, offsets = self._squares
        turns = angles @ offsets.T
        if not self.taps.is_complex():
            parts = coefficients.unbind(1)
            even, odd = (
                _combined(wave, part, groups)
                for wave, part in zip((turns.cos(), turns.sin()), parts, strict=True)
            )
            value = torch.complex(even.float(), odd.float()) if single else torch.complex(even, odd)
            return value.reshape(len(angles), *coefficients.shape[-2:])
        half = _evaluated(coefficients[:, 0], offsets, angles, groups)
        value = half + half.mH
        return value.to(torch.complex64) if single else value

    @cached_property
    def _squares(self) -> tuple[Tensor, Tensor]:
        """What the Gram matrices are made of, and the offsets `(K', d)`.

        `A A* = sum_d H_d exp(i d xi)` with `H_d = sum_q A_{q + d} A_q*` and `H_-d = H_d*`:
        one of each such pair is enough, and half of `H_0`.

        Returns:
            Coefficients `(G, 1, K', k, k)` H of complex taps; of real ones `(G, 2, K', k, k)`,
            `H + H^T` and `H - H^T`, which the cosines and the sines multiply.
        """
        if self.taps.shape[-2] > self.taps.shape[-1]:
            return self.adjoint._squares
        lines = [torch.arange(1 - count, count) for count in self.counts]
        every = torch.cartesian_prod(*lines).reshape(-1, len(lines))
        offsets = every[len(every) // 2 :]  # from zero on
        spread = self.taps.reshape(len(self.taps), *self.counts, *self.taps.shape[2:])
        kinds, order = 1 if spread.is_complex() else 2, self.taps.shape[-2]
        found = spread.new_empty(len(spread), kinds, len(offsets), order, order)
        for i, d in enumerate(offsets.tolist()):  # one by one: together they take twice the memory
            half = _shifted_product(spread, d) / (1 if i else 2)
            found[:, 0, i] = half if kinds == 1 else half + half.mT
            if kinds == 2:
                found[:, 1, i] = half - half.mT
        return found, offsets.to(self.taps.device, torch.float64)

    def squares_along(self, group: int, vector: Tensor) -> tuple[Tensor, Tensor]:
        """Return the polynomial `vector* G(xi) vector` of the Gram matrices G.

        Args:
            group: Of channels.
            vector: `(k,)`, complex.

        Returns:
            Coefficients `(K',)` and offsets `(K', d)`; twice the real part is its value.
        """
        coefficients, offsets = self._squares
        chosen = coefficients[group]
        if chosen.is_complex():
            return (chosen[0] @ vector) @ vector.conj(), offsets
        sides = torch.stack([vector.real, vector.imag], 1)
        return (torch.view_as_complex(chosen @ sides) @ vector.conj()).mean(0), offsets


def _evaluated(taps: Tensor, offsets: Tensor, angles: Tensor, groups: Tensor) -> Tensor:
    turns = angles @ offsets.T
    parts = [_combined(part, taps, groups) for part in (turns.cos(), turns.sin())]
    value = parts[0] + 1j * parts[1] if taps.is_complex() else torch.complex(*parts)
    return value.reshape(len(angles), *taps.shape[-2:])


def _combined(factors: Tensor, taps: Tensor, groups: Tensor) -> Tensor:
    """Sum taps `(G, K, rows, columns)` of each row's group with factors `(B, K)`, flat."""
    factors = factors.to(taps.dtype)
    if len(taps) == 1:
        return factors @ taps[0].flatten(1)
    value = taps.new_empty(len(groups), taps.shape[-2] * taps.shape[-1])
    for group in sorted(set(groups.tolist())):
        mine = groups == group
        value[mine] = factors[mine] @ taps[group].flatten(1)
    return value


def _shifted_product(spread: Tensor, shift: Sequence[int]) -> Tensor:
    """`sum_q A_{q + shift} A_q*` of taps `(G, Q_1, ..., Q_d, m, n)`."""
    every = slice(None)
    later = spread[(every, *(slice(max(d, 0), d if d < 0 else None) for d in shift))]
    sooner = spread[(every, *(slice(max(-d, 0), -d if d > 0 else None) for d in shift))]
    left, right = (x.flatten(1, -3).transpose(1, 2).flatten(2) for x in (later, sooner))
    return left @ right.mH


def symbol(weight: Tensor, groups: int, strides: Sequence[int], dilations: Sequence[int]) -> Symbol:
    """Split a convolution into the phases of its stride.

    Args:
        weight: `(outputs, inputs of a group, k_1, ..., k_d)`, float64 or complex128.
        groups: Of channels.
        strides: Steps of the input from output to output.
        dilations: Steps of the input from tap to tap.

    Returns:
        The symbol, with `Q = ceil(extent / stride)` taps a phase: tap t of the input belongs to
        phase `t mod s` and has `q = t // s`.
    """
    kernel = weight.shape[2:]
    counts = tuple(
        -(-(d * (k - 1) + 1) // s) for k, s, d in zip(kernel, strides, dilations, strict=True)
    )
    spread = weight.new_zeros(
        *weight.shape[:2], *(q * s for q, s in zip(counts, strides, strict=True))
    )
    places = [slice(0, d * (k - 1) + 1, d) for k, d in zip(kernel, dilations, strict=True)]
    spread[(slice(None), slice(None), *places)] = weight
    split = [size for q, s in zip(counts, strides, strict=True) for size in (q, s)]
    phases = spread.reshape(groups, -1, weight.shape[1], *split)
    dims = len(kernel)
    taps = [3 + 2 * i for i in range(dims)]
    order = [0, *taps, 1, 2, *(index + 1 for index in taps)]
    flat = phases.permute(order).reshape(groups, math.prod(counts), phases.shape[1], -1)
    return Symbol(flat.contiguous(), counts)
