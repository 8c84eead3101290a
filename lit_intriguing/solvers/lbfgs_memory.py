"""The limited memory of L-BFGS for many problems at once."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from lit_intriguing.solvers.chosen_rows import ChosenRows
from lit_intriguing.solvers.two_loop import Gram, TwoLoops

_CURVATURE, _COSINE = 1e-4, 1e-8
"""A pair is skipped if `s.y` is at most 1e-4 `s.s`, or 1e-8 `|s||y|` without an anchor."""


_BLOCKS = 2
"""Problems are masked block by block, in at least so many blocks, to save work space."""

_CACHE = 2**20
"""Bytes of the masked vectors of a block, for each thread of a CPU: they stay in its cache."""

_SPARES = 4 // _BLOCKS
"""Four vectors of a problem are masked: room for so many of all problems between two products."""


Free = Callable[[slice], Tensor]
"""Returns of some problems 1 for a free coordinate, 0 for one held at its limit, `(k, D)`."""


class Product(NamedTuple):
    """The inverse Hessian applied to two vectors r and a, as combinations of what is stored.

    Attributes:
        coefficients: Of the stored steps and changes, `(m, 2, 2, n)`: pair, step or change,
            r or a, problem.
        scale: Of the vectors themselves, `(n,)`.
        inner: `u . H v` for u, v in (r, a): `(2, 2, n)`.
        inverse: `1 / s.y` of the pairs in use, 0 for the others, `(m, n)`.
    """

    coefficients: Tensor
    scale: Tensor
    inner: Tensor
    inverse: Tensor


class Pairs:
    """The last m steps of n problems and the changes of the gradient along them.

    The Hessian is that of `q/2 |x - x0|^2 + multiplier * f(x)`. Steps S and changes Y_f of the
    gradient of f are stored apart, and `Y = q S + multiplier * Y_f` is formed when it is needed,
    so that the memory stays valid while the multiplier changes.

    Args:
        slots: Number of problems, n.
        dimensions: Number of coordinates, D.
        size: Number of pairs, m.
        anchored: Whether q is 1, else 0.
        like: Gives dtype and device.

    Attributes:
        vectors: Of each problem its pairs (step, change of the gradient), and in the last place
            the two vectors (r, a) that the inverse Hessian is applied to: `(n, m + 1, 2, D)`.
        r: The first vector, `(n, D)`, a view to write to.
        a: The second vector, likewise.
        spares: Two work spaces, `(n, D)` each, free to use between `combine` and `apply`, and for a
            `Free` while it works: what it returns must lie elsewhere.
        usable: 1 where a pair may be used, `(m, n)`.
        reach: Length of a step without any pair, for want of an anchor, `(n,)`; at first 1.
    """

    def __init__(
        self, slots: int, dimensions: int, size: int, *, anchored: bool, like: Tensor
    ) -> None:
        self.size, self.anchored = size, anchored
        self.usable = like.new_zeros(size, slots)
        self.reach = like.new_ones(slots)
        self._next = 0
        self._work = like.new_empty(4 * -(-slots // _BLOCKS) * dimensions)
        self._gram = Gram(size, slots, like)
        self._loops = TwoLoops(size, slots, like)
        self._coefficients = like.new_zeros(size, 2, 2, slots)
        self._weights = like.new_ones(size + 1, 2, slots)
        # A problem's vectors lie together: strides of n * D would share the lines of a cache.
        self._lay(like.new_zeros(slots, size + 1, 2, dimensions))

    def _lay(self, vectors: Tensor) -> None:
        """Take the views of vectors and work space that all steps use."""
        self.vectors = vectors
        slots, _, _, dimensions = vectors.shape
        self._flat = vectors.flatten(1, 2)
        self.r, self.a = vectors[:, -1].unbind(1)
        # The newest pair, r and a, once for each place of the newest.
        self._changed = [vectors[:, i :: self.size - i] for i in range(self.size)]
        spares = self._work[: _SPARES * slots * dimensions].view(_SPARES, slots, dimensions)
        self.spares = spares.unbind()
        block = -(-slots // _BLOCKS)
        if vectors.device.type == "cpu":
            bytes_masked = 4 * dimensions * vectors.element_size()
            block = min(block, _CACHE * torch.get_num_threads() // max(1, bytes_masked))
        block = max(1, block)
        self._parts = [slice(i, min(i + block, slots)) for i in range(0, slots, block)]

    def store(self, trial: Tensor, x: Tensor, gradient: Tensor, finite: Tensor) -> Tensor:
        """Store the pair from `x` to `trial` in place of the oldest; return the step.

        Args:
            trial: New points, `(n, D)`.
            x: Old points, whose gradient is the vector a.
            gradient: Gradient of f at the new points.
            finite: Which problems to store it of, bool `(n,)`; the others forget their oldest pair.
        """
        step, change = self.vectors[:, self._next].unbind(1)
        torch.sub(trial, x, out=step)
        torch.sub(gradient, self.a, out=change)
        self.usable[self._next] = finite
        broken = ChosenRows(~finite)
        if not broken.none:
            broken.put(change, torch.zeros_like(broken.of(change)))
            # A coefficient of 0 does not undo what is infinite.
            broken.put(step, broken.of(step).nan_to_num_(0.0, 0.0, 0.0))
        self._next = (self._next + 1) % self.size
        return step

    def load(self, slots: Tensor) -> None:
        """Start new problems in some slots (an index), at points where r and a are 0."""
        self.vectors[slots] = 0.0
        self.usable[:, slots], self.reach[slots] = 0.0, 1.0

    def forget(self, slots: Tensor) -> None:
        """Empty the memory of some slots, bool `(n,)`."""
        self.usable.masked_fill_(slots, 0.0)
        self.reach.masked_fill_(slots, 1.0)

    def keep(self, slots: Tensor) -> None:
        """Drop all slots but these (an index)."""
        moved = (slots != torch.arange(len(slots), device=slots.device)).nonzero().squeeze(1)
        # Vector by vector, in place: a copy of all of them would nearly double the memory.
        for vector in self._flat.unbind(1):
            vector.index_copy_(0, moved, vector.index_select(0, slots[moved]))
        self.usable, self.reach = self.usable[:, slots].contiguous(), self.reach[slots]
        self._gram = self._gram.keep(slots)
        self._loops = TwoLoops(self.size, len(slots), self.vectors)
        self._coefficients = self._coefficients[..., slots]
        self._weights = self._weights[..., slots]
        self._lay(self.vectors[: len(slots)])

    def drop_newest(self, accepted: Tensor) -> None:
        """Keep the newest pair from use where `accepted`, bool `(n,)`, is False."""
        self.usable[self._next - 1] *= accepted

    def steepest(self) -> Tensor:
        """Return how far along minus a its minimiser lies, as the newest pair has it: `(n,)`.

        `s.y / y.y`, or `reach / |a|` where that pair shows no curvature.
        """
        newest = (self._next - 1) % self.size
        step, change = self.vectors[:, newest].unbind(1)
        tiny = torch.finfo(step.dtype).tiny
        curvature = torch.mul(step, change, out=self.spares[0]).sum(1)
        square = torch.linalg.vector_norm(change, dim=1).square_()
        good = (self.usable[newest] > 0) & (curvature > 0) & (square > tiny)
        reach = self.reach / torch.linalg.vector_norm(self.a, dim=1).clamp_(min=tiny)
        return torch.where(good, curvature / square, reach)

    def apply(self, multiplier: Tensor, free: Free | None, scale: Tensor | None = None) -> Product:
        """Apply the inverse Hessian on the free coordinates to r and a.

        Args:
            multiplier: Weight of f in the Hessian, `(n,)`.
            free: Asked for one block of problems after the other; None: all free.
            scale: What it starts from, times the identity, `(n,)`; None: the newest pair's
                `s.y / y.y` (Nocedal and Wright 2006, eq. 7.20), and where there is none
                `reach / |a|`.

        Returns:
            The product, valid until the next call.
        """
        newest = (self._next - 1) % self.size
        for part in self._parts:
            changed = self._changed[newest][part]
            masked = self._work[: changed.numel()].view(changed.shape)
            if free is None:
                masked.copy_(changed)
            else:
                torch.mul(changed, free(part)[:, None, None], out=masked)
            self._gram.multiply(part, self._flat[part], masked.flatten(1, 2))
        self._gram.update(newest)
        inverse = self._fill_loops(multiplier)
        if scale is None:
            scale = self._newest_scale(inverse)
        first, second = self._loops.run(inverse, scale, self._next)
        return self._product(first, second, scale, multiplier, inverse)

    def _fill_loops(self, multiplier: Tensor) -> Tensor:
        """Write the inner products with Y to the loops; return `1 / s.y`, 0 for unused pairs."""
        gram, loops = self._gram, self._loops
        sy, yy = loops.sy, loops.yy
        loops.sv.copy_(gram.sv)
        if self.anchored:
            torch.addcmul(gram.ss, gram.sf, multiplier, out=sy)
            torch.addcmul(gram.sf.transpose(0, 1), gram.ff, multiplier, out=yy)
            torch.addcmul(sy, yy, multiplier, out=yy)
            torch.addcmul(gram.sv, gram.fv, multiplier, out=loops.yv)
            least = gram.ss.diagonal().t() * _CURVATURE
        else:
            torch.mul(gram.sf, multiplier, out=sy)
            torch.mul(gram.ff, multiplier.square(), out=yy)
            torch.mul(gram.fv, multiplier, out=loops.yv)
            least = gram.ss.diagonal().t().sqrt() * loops.yy_diagonal.sqrt() * _COSINE
        curvature = loops.sy_diagonal
        return (self.usable / curvature).where(curvature > least, 0.0)

    def _product(
        self,
        first: Tensor,
        second: Tensor,
        scale: Tensor,
        multiplier: Tensor,
        inverse: Tensor,
    ) -> Product:
        """Return the loops' result in terms of what is stored: `y = q s + multiplier * f`."""
        steps, changes = self._coefficients.unbind(1)
        if self.anchored:
            torch.addcmul(second, first, scale, value=-1, out=steps)
        else:
            steps.copy_(second)
        torch.mul(first, -scale * multiplier, out=changes)
        gram = self._gram
        crossed = (gram.pairs_v.unsqueeze(3) * self._coefficients.unsqueeze(2)).sum((0, 1))
        inner = crossed.addcmul_(gram.vv, scale)
        return Product(self._coefficients, scale, inner, inverse)

    def combine(
        self, product: Product, multiplier: Tensor, length: Tensor
    ) -> Iterator[tuple[slice, Tensor]]:
        """Yield `-length * H (r + multiplier * a)` on all coordinates, block by block.

        The last block first: its vectors may still be in the cache.

        Yields:
            Which problems, and theirs, `(k, D)`, valid until the next.
        """
        c, weights = product.coefficients, self._weights
        torch.addcmul(c[:, :, 0], c[:, :, 1], multiplier, out=weights[:-1])
        weights[-1, 0] = product.scale
        torch.mul(product.scale, multiplier, out=weights[-1, 1])
        by_problem = (weights.flatten(0, 1) * -length).t().contiguous().unsqueeze(1)
        for part in reversed(self._parts):
            vectors = self._flat[part]
            out = self._work[: vectors[:, 0].numel()].view_as(vectors[:, :1])
            torch.bmm(by_problem[part], vectors, out=out)
            yield part, out.squeeze(1)

    def _newest_scale(self, inverse: Tensor) -> Tensor:
        """Return what the inverse Hessian starts from by the newest usable pair, `(n,)`."""
        aa = self._gram.vv[1, 1]
        scale = self.reach * aa.clamp(min=torch.finfo(aa.dtype).tiny).rsqrt()
        newest = self._loops.sy_diagonal / self._loops.yy_diagonal
        good = (inverse > 0) & newest.isfinite()
        for age in range(self.size):  # the newest usable pair comes last
            i = (self._next + age) % self.size
            scale = torch.where(good[i], newest[i], scale)
        return scale
