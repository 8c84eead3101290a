"""The symbol of a convolution: the matrix that it is at each frequency."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from lit_intriguing.solvers.spectral.rounding import UNIT, gamma


@dataclass(frozen=True)
class Symbol:
    """``A(xi) = sum_q taps[q] exp(i q xi)``, for each group of channels.

    The paper's section 4.3 has the filters' Fourier transforms at ``xi`` and its aliases side by
    side; these are the polyphase components, which a unitary matrix leads to the aliases.

    Attributes:
        taps: ``(G, K, rows, columns)``, K = the product of ``counts``, float64 or complex128.
        counts: Q, the number of taps of a phase, in each dimension.
    """

    taps: Tensor
    counts: tuple[int, ...]

    @cached_property
    def offsets(self) -> Tensor:
        """The q of each tap, ``(K, d)``."""
        lines = [torch.arange(count, dtype=torch.float64) for count in self.counts]
        return torch.cartesian_prod(*lines).reshape(-1, len(lines)).to(self.taps.device)

    @cached_property
    def error(self) -> float:
        """At most the Frobenius norm of the rounding error of :meth:`at`, angles within 2 pi."""
        turns = 2 * math.pi * sum(count - 1 for count in self.counts)
        phase = UNIT * (turns * (len(self.counts) + 8) + 8)
        sizes = torch.linalg.vector_norm(self.taps, dim=(-2, -1)).sum(-1)
        return 2 * (phase + gamma(len(self.offsets))) * float(sizes.max())

    def at(self, angles: Tensor, groups: Tensor) -> Tensor:
        """Evaluate at frequencies.

        Args:
            angles: ``(B, d)``, radians in [-2 pi, 2 pi].
            groups: ``(B,)``: of which group of channels.

        Returns:
            ``(B, rows, columns)``, complex.
        """
        turns = angles @ self.offsets.T
        if len(self.taps) == 1:
            flat = self.taps[0].flatten(1)
            parts = [_times(part, flat) for part in (turns.cos(), turns.sin())]
        else:
            chosen = self.taps[groups].flatten(2)
            parts = [_times(part[:, None], chosen)[:, 0] for part in (turns.cos(), turns.sin())]
        if self.taps.is_complex():
            value = parts[0] + 1j * parts[1]
        else:
            value = torch.complex(parts[0], parts[1])
        return value.reshape(-1, *self.taps.shape[-2:])

    def along(self, group: int, left: Tensor, right: Tensor) -> Tensor:
        """``left* taps[q] right`` of each tap, ``(K,)``: coefficients of a polynomial."""
        taps = self.taps[group].to(torch.complex128)
        return (taps @ right) @ left.conj()


def _times(part: Tensor, taps: Tensor) -> Tensor:
    return part.to(taps.dtype) @ taps


def symbol(weight: Tensor, groups: int, strides: Sequence[int], dilations: Sequence[int]) -> Symbol:
    """Split a convolution into the phases of its stride.

    Args:
        weight: ``(outputs, inputs of a group, k_1, ..., k_d)``, float64 or complex128.
        groups: Of channels.
        strides: Steps of the input from output to output.
        dilations: Steps of the input from tap to tap.

    Returns:
        The symbol, with ``Q = ceil(extent / stride)`` taps a phase: tap t of the input belongs to
        phase ``t mod s`` and has ``q = t // s``.
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
