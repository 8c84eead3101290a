"""The limited memory of L-BFGS for many problems at once."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

_CURVATURE, _COSINE = 1e-4, 1e-8
"""A pair is skipped if ``s.y`` is at most 1e-4 ``s.s``, or 1e-8 ``|s||y|`` without an anchor."""

_BLOCKS = 4
"""Rows are masked block by block, in so many blocks, to save work space."""


class Product(NamedTuple):
    """The inverse Hessian applied to two vectors r and a, as combinations of what is stored.

    Attributes:
        coefficients: Of the 2m stored vectors, ``(2m, 2, n)``.
        scale: Of the vectors themselves, ``(n,)``.
        inner: ``u . H v`` for u, v in (r, a): ``(2, 2, n)``.
        curved: Whether any pair was of use, bool ``(n,)``.
    """

    coefficients: Tensor
    scale: Tensor
    inner: Tensor
    curved: Tensor


class Pairs:
    """The last m steps of n problems and the changes of the gradient along them.

    The Hessian is that of ``q/2 |x - x0|^2 + multiplier * f(x)``. Steps S and changes Y_f of the
    gradient of f are stored apart, and ``Y = q S + multiplier * Y_f`` is formed when it is needed,
    so that the memory stays valid while the multiplier changes.

    Args:
        slots: Number of problems, n.
        dimensions: Number of coordinates, D.
        size: Number of pairs, m.
        anchored: Whether q is 1; the inverse Hessian then starts from the identity. Else it starts
            from the newest pair's ``s.y / y.y`` (Nocedal and Wright 2006, eq. 7.20), and where
            there is none from ``reach / |a|``, for a first step of length 1 and, where steps show
            no curvature, twice the length each time.
        like: Gives dtype and device.

    Attributes:
        vectors: Steps, changes of the gradient, and the two vectors r and a that the inverse
            Hessian is applied to: ``(2m + 2, n, D)``.
        usable: 1 where a pair may be used, ``(m, n)``.
        reach: Length of a step without any pair, for want of an anchor, ``(n,)``.
    """

    def __init__(
        self, slots: int, dimensions: int, size: int, *, anchored: bool, like: Tensor
    ) -> None:
        self.size, self.anchored = size, anchored
        self.vectors = like.new_zeros(2 * size + 2, slots, dimensions)
        self.usable = like.new_zeros(size, slots)
        self.reach = like.new_ones(slots)
        self._masked = like.new_empty(4 * -(-slots // _BLOCKS) * dimensions)
        self._gram = like.new_zeros(2 * size + 2, 2 * size + 2, slots)
        self._next = 0

    @property
    def r(self) -> Tensor:
        """The first vector, ``(n, D)``, a view to write to."""
        return self.vectors[-2]

    @property
    def a(self) -> Tensor:
        """The second vector, ``(n, D)``, a view to write to."""
        return self.vectors[-1]

    @property
    def spare(self) -> Tensor:
        """Work space of shape ``(n, D)``, free to use between two calls of :meth:`apply`."""
        slots, dimensions = self.r.shape
        return self._masked[: slots * dimensions].view(slots, dimensions)

    def store(self, trial: Tensor, x: Tensor, gradient: Tensor, finite: Tensor) -> Tensor:
        """Keep the pair from ``x`` to ``trial`` in place of the oldest; returns the step.

        Args:
            trial: New points, ``(n, D)``.
            x: Old points, whose gradient is the vector a.
            gradient: Gradient of f at the new points.
            finite: Which rows to keep, bool ``(n,)``; the others forget their oldest pair.
        """
        step, change = self.vectors[self._next], self.vectors[self.size + self._next]
        torch.sub(trial, x, out=step)
        torch.sub(gradient, self.a, out=change)
        self.usable[self._next] = finite
        if not bool(finite.all()):
            change[~finite] = 0.0
        self._next = (self._next + 1) % self.size
        return step

    def forget(self, slots: Tensor) -> None:
        """Empty the memory of some slots (an index)."""
        self.usable[:, slots], self.reach[slots] = 0.0, 1.0

    def keep(self, slots: Tensor) -> None:
        """Drop all slots but these (an index)."""
        # Vector by vector, in place: a copy of all of them would nearly double the memory.
        for vector in self.vectors:
            vector[: len(slots)] = vector[slots]
        self.vectors = self.vectors[:, : len(slots)]
        self.usable, self.reach = self.usable[:, slots].contiguous(), self.reach[slots]
        self._gram = self._gram[:, :, slots].contiguous()

    def apply(self, multiplier: Tensor, free: Tensor | None) -> Product:
        """Apply the inverse Hessian on the free coordinates to r and a.

        The two-loop recursion (Nocedal and Wright 2006, algorithm 7.4) on inner products: once
        these are known, it needs no vector of D coordinates.

        Args:
            multiplier: Weight of f in the Hessian, ``(n,)``.
            free: 1 for a free coordinate, 0 for one held at its limit, ``(n, D)``; None: all free.
        """
        m = self.size
        gram = self._inner_products(free)
        ss, sf, ff = gram[:m, :m], gram[:m, m:-2], gram[m:-2, m:-2]
        sv, fv = gram[:m, -2:], gram[m:-2, -2:]
        if self.anchored:
            sy = torch.addcmul(ss, sf, multiplier)
            yy = torch.addcmul(sy, torch.addcmul(sf.transpose(0, 1), ff, multiplier), multiplier)
            yv = torch.addcmul(sv, fv, multiplier)
        else:
            sy, yy, yv = sf * multiplier, ff * multiplier.square(), fv * multiplier
        curvature = sy.diagonal().t()
        # Where a pair is skipped its reciprocal is 0, so that it takes no part.
        used = self.usable * (curvature > self._least(ss.diagonal().t(), yy.diagonal().t()))
        inverse = used / (curvature * used + (1 - used))
        scale = self._scale(used, curvature, yy, gram[-1, -1])
        first, second = self._two_loops(inverse, scale, sv.clone(), yv.contiguous(), sy, yy)
        change = first * (-scale)
        coefficients = torch.cat([second + change * self._q, change * multiplier])
        vectors = gram[-2:, :-2].unsqueeze(2) * coefficients
        inner = vectors.sum(1).add_(gram[-2:, -2:] * scale)
        return Product(coefficients, scale, inner, used.any(0))

    def combine(self, product: Product, multiplier: Tensor, out: Tensor) -> Tensor:
        """Write ``-H (r + multiplier * a)`` on all coordinates to ``out``, ``(n, D)``."""
        torch.mul(self.r, -product.scale.unsqueeze(1), out=out)
        out.addcmul_(self.a, -(product.scale * multiplier).unsqueeze(1))
        c = product.coefficients
        weights = torch.addcmul(c[:, 0], c[:, 1], multiplier).neg_().unsqueeze(2)
        for vector, weight in zip(self.vectors[:-2], weights, strict=True):
            out.addcmul_(vector, weight)
        return out

    @property
    def _q(self) -> float:
        return 1.0 if self.anchored else 0.0

    def _least(self, ss: Tensor, yy: Tensor) -> Tensor:
        """Return the curvature that a pair must exceed to be used, ``(m, n)``."""
        return ss * _CURVATURE if self.anchored else ss.sqrt() * yy.sqrt() * _COSINE

    def _inner_products(self, free: Tensor | None) -> Tensor:
        """Return the inner products of all vectors over the free coordinates: ``(k, k, n)``."""
        vectors, (count, slots, dimensions) = self.vectors, self.vectors.shape
        newest = (self._next - 1) % self.size
        changed = (newest, self.size + newest, count - 2, count - 1)
        block = -(-slots // _BLOCKS)
        products = []
        for start in range(0, slots, block):
            part = slice(start, min(start + block, slots))
            shape = (len(changed), part.stop - start, dimensions)
            masked = self._masked[: math.prod(shape)].view(shape)
            for i, out in zip(changed, masked.unbind(), strict=True):
                if free is None:
                    out.copy_(vectors[i, part])
                else:
                    torch.mul(vectors[i, part], free[part], out=out)
            products.append(torch.bmm(masked.transpose(0, 1), vectors[:, part].permute(1, 2, 0)))
        for i, row in zip(changed, torch.cat(products).permute(1, 2, 0), strict=True):
            self._gram[i] = row
            self._gram[:, i] = row
        return self._gram

    def _scale(self, used: Tensor, curvature: Tensor, yy: Tensor, aa: Tensor) -> Tensor:
        """Return what the inverse Hessian starts from, ``(n,)``."""
        if self.anchored:
            return torch.ones_like(aa)
        scale = self.reach * aa.clamp(min=torch.finfo(aa.dtype).tiny).rsqrt()
        for age in range(self.size):  # the newest usable pair comes last
            i = (self._next + age) % self.size
            newest = curvature[i] / yy[i, i]
            scale = torch.where((used[i] > 0) & newest.isfinite(), newest, scale)
        return scale

    def _two_loops(
        self,
        inverse: Tensor,
        scale: Tensor,
        sv: Tensor,
        yv: Tensor,
        sy: Tensor,
        yy: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Return the coefficients of both loops, ``(m, 2, n)`` each; changes ``sv`` and ``yv``."""
        newest_first = [(self._next - 1 - age) % self.size for age in range(self.size)]
        first, second = torch.empty_like(sv), torch.empty_like(sv)
        # All views at once: taken one by one they cost as much as the arithmetic.
        firsts, seconds, inverses = first.unbind(), second.unbind(), inverse.unbind()
        of_s, of_y = sv.unbind(), yv.unbind()
        columns = sy.unsqueeze(2).unbind(1)
        rows = sy.unsqueeze(2).unbind(0)
        squares = yy.unsqueeze(2).unbind(1)
        for i in newest_first:
            torch.mul(of_s[i], inverses[i], out=firsts[i])
            sv.addcmul_(columns[i], firsts[i], value=-1)
            yv.addcmul_(squares[i], firsts[i], value=-1)
        yv *= scale
        for i in reversed(newest_first):
            torch.addcmul(firsts[i], of_y[i], inverses[i], value=-1, out=seconds[i])
            yv.addcmul_(rows[i], seconds[i])
        return first, second
