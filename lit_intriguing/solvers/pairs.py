"""The limited memory of L-BFGS for many problems at once."""

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
        coefficients: Of the stored steps and changes, ``(m, 2, 2, n)``: pair, step or change,
            r or a, problem.
        scale: Of the vectors themselves, ``(n,)``.
        inner: ``u . H v`` for u, v in (r, a): ``(2, 2, n)``.
        used: 1 where a pair was of use, else 0, ``(m, n)``.
    """

    coefficients: Tensor
    scale: Tensor
    inner: Tensor
    used: Tensor


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
        vectors: Of each problem its pairs (step, change of the gradient), and in the last place
            the two vectors (r, a) that the inverse Hessian is applied to: ``(n, m + 1, 2, D)``.
        usable: 1 where a pair may be used, ``(m, n)``.
        reach: Length of a step without any pair, for want of an anchor, ``(n,)``.
    """

    def __init__(
        self, slots: int, dimensions: int, size: int, *, anchored: bool, like: Tensor
    ) -> None:
        self.size, self.anchored = size, anchored
        # A problem's vectors lie together: strides of n * D would share the lines of a cache.
        self.vectors = like.new_zeros(slots, size + 1, 2, dimensions)
        self.usable = like.new_zeros(size, slots)
        self.reach = like.new_ones(slots)
        self._masked = like.new_empty(4 * -(-slots // _BLOCKS) * dimensions)
        self._gram = like.new_zeros(size + 1, 2, size + 1, 2, slots)
        self._next = 0
        self._loops = _TwoLoops(size, slots, like)

    @property
    def r(self) -> Tensor:
        """The first vector, ``(n, D)``, a view to write to."""
        return self.vectors[:, -1, 0]

    @property
    def a(self) -> Tensor:
        """The second vector, ``(n, D)``, a view to write to."""
        return self.vectors[:, -1, 1]

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
        step, change = self.vectors[:, self._next].unbind(1)
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
        for vector in self.vectors.flatten(1, 2).unbind(1):
            vector[: len(slots)] = vector[slots]
        self.vectors = self.vectors[: len(slots)]
        self.usable, self.reach = self.usable[:, slots].contiguous(), self.reach[slots]
        self._gram = self._gram[..., slots].contiguous()
        self._loops = _TwoLoops(self.size, len(slots), self.vectors)

    def apply(self, multiplier: Tensor, free: Tensor | None) -> Product:
        """Apply the inverse Hessian on the free coordinates to r and a.

        The two-loop recursion (Nocedal and Wright 2006, algorithm 7.4) on inner products: once
        these are known, it needs no vector of D coordinates.

        Args:
            multiplier: Weight of f in the Hessian, ``(n,)``.
            free: 1 for a free coordinate, 0 for one held at its limit, ``(n, D)``; None: all free.
        """
        self._update_gram(free)
        m, gram, loops = self.size, self._gram, self._loops
        ss, sf, ff = gram[:m, 0, :m, 0], gram[:m, 0, :m, 1], gram[:m, 1, :m, 1]
        sv, fv = gram[:m, 0, m], gram[:m, 1, m]
        sy, yy, yv = loops.sy, loops.yy, loops.yv
        loops.sv.copy_(sv)
        if self.anchored:
            torch.addcmul(ss, sf, multiplier, out=sy)
            torch.addcmul(sf.transpose(0, 1), ff, multiplier, out=yy)
            torch.addcmul(sy, yy, multiplier, out=yy)
            torch.addcmul(sv, fv, multiplier, out=yv)
        else:
            torch.mul(sf, multiplier, out=sy)
            torch.mul(ff, multiplier.square(), out=yy)
            torch.mul(fv, multiplier, out=yv)
        curvature = sy.diagonal().t()
        # Where a pair is skipped its reciprocal is 0, so that it takes no part.
        used = self.usable * (curvature > self._least(ss.diagonal().t(), yy.diagonal().t()))
        inverse = used / (curvature * used + (1 - used))
        last = gram[m, :, m]
        scale = self._scale(used, curvature, yy, last[1, 1])
        first, second = loops.run(inverse, None if self.anchored else scale, self._next)
        return self._product(first, second, scale, multiplier, used)

    def _product(
        self, first: Tensor, second: Tensor, scale: Tensor, multiplier: Tensor, used: Tensor
    ) -> Product:
        m = self.size
        change = first * (-scale)
        steps = second + change if self.anchored else second
        coefficients = torch.stack([steps, change * multiplier], 1)
        crossed = self._gram[:m, :, m].unsqueeze(3) * coefficients.unsqueeze(2)
        inner = torch.addcmul(crossed.sum((0, 1)), self._gram[m, :, m], scale)
        return Product(coefficients, scale, inner, used)

    def combine(self, product: Product, multiplier: Tensor, out: Tensor) -> Tensor:
        """Write ``-H (r + multiplier * a)`` on all coordinates to ``out``, ``(n, D)``."""
        c = product.coefficients
        pairs = torch.addcmul(c[:, :, 0], c[:, :, 1], multiplier).flatten(0, 1)
        both = torch.stack([product.scale, product.scale * multiplier])
        weights = torch.cat([pairs, both]).t().contiguous().neg_()
        torch.bmm(weights.unsqueeze(1), self.vectors.flatten(1, 2), out=out.unsqueeze(1))
        return out

    def _least(self, ss: Tensor, yy: Tensor) -> Tensor:
        """Return the curvature that a pair must exceed to be used, ``(m, n)``."""
        return ss * _CURVATURE if self.anchored else ss.sqrt() * yy.sqrt() * _COSINE

    def _update_gram(self, free: Tensor | None) -> None:
        """Renew the inner products with the newest pair, r and a over the free coordinates."""
        slots, _, _, dimensions = self.vectors.shape
        newest = (self._next - 1) % self.size
        changed = slice(newest, None, self.size - newest)  # the newest pair and the last place
        block = -(-slots // _BLOCKS)
        products = self._gram.new_empty(slots, 2 * self.size + 2, 4)
        for start in range(0, slots, block):
            part = slice(start, min(start + block, slots))
            vectors = self.vectors[part]
            masked = self._masked[: 4 * len(vectors) * dimensions].view(
                len(vectors), 2, 2, dimensions
            )
            if free is None:
                masked.copy_(vectors[:, changed])
            else:
                torch.mul(vectors[:, changed], free[part, None, None], out=masked)
            torch.bmm(
                vectors.flatten(1, 2), masked.flatten(1, 2).transpose(1, 2), out=products[part]
            )
        rows = products.permute(2, 1, 0).reshape(2, 2, self.size + 1, 2, slots)
        self._gram[changed] = rows
        self._gram[:, :, changed] = rows.permute(2, 3, 0, 1, 4)

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


class _TwoLoops:
    """The two loops on inner products, with their work space.

    Attributes:
        sy: ``s_i . y_j``, ``(m, m, n)``.
        yy: ``y_i . y_j``, ``(m, m, n)``.
        sv: ``s_i . v`` for v in (r, a), ``(m, 2, n)``; overwritten.
        yv: ``y_i . v``, likewise.
    """

    def __init__(self, size: int, slots: int, like: Tensor) -> None:
        self.sy, self.yy = (like.new_zeros(size, size, slots) for _ in range(2))
        vectors = [like.new_zeros(size, 2, slots) for _ in range(4)]
        self.sv, self.yv, self._first, self._second = vectors
        # All views once: taken one by one they cost as much as the arithmetic.
        self._of_s, self._of_y, self._firsts, self._seconds = (v.unbind() for v in vectors)
        self._columns = self.sy.unsqueeze(2).unbind(1)
        self._rows = self.sy.unsqueeze(2).unbind(0)
        self._squares = self.yy.unsqueeze(2).unbind(1)

    def run(self, inverse: Tensor, scale: Tensor | None, oldest: int) -> tuple[Tensor, Tensor]:
        """Return the coefficients of both loops, ``(m, 2, n)`` each, valid until the next call.

        Args:
            inverse: ``1 / s_i . y_i``, 0 for a pair that takes no part, ``(m, n)``.
            scale: What the inverse Hessian starts from, ``(n,)``; None: the identity.
            oldest: Place of the oldest pair.
        """
        size = len(inverse)
        order = [(oldest + age) % size for age in range(size)]
        inverses = inverse.unbind()
        for i in reversed(order):
            torch.mul(self._of_s[i], inverses[i], out=self._firsts[i])
            self.sv.addcmul_(self._columns[i], self._firsts[i], value=-1)
            self.yv.addcmul_(self._squares[i], self._firsts[i], value=-1)
        if scale is not None:
            self.yv.mul_(scale)
        for i in order:
            torch.addcmul(
                self._firsts[i], self._of_y[i], inverses[i], value=-1, out=self._seconds[i]
            )
            self.yv.addcmul_(self._rows[i], self._seconds[i])
        return self._first, self._second
