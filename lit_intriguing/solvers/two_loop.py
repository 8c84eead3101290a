"""L-BFGS on inner products: the two loops need no vector of D coordinates."""

import torch
from torch import Tensor


class Gram:
    """Inner products of the vectors of n problems: m pairs (step, change), and (r, a).

    Args:
        size: m.
        slots: n.
        like: Gives dtype and device.

    Attributes:
        table: `(m + 1, 2, m + 1, 2, n)`; the last place belongs to r and a.
        ss: Of steps with steps, `(m, m, n)`, a view; likewise `sf`, of steps with changes,
            and `ff`.
        sv: Of steps with r and a, `(m, 2, n)`; `fv`, of changes.
        pairs_v: Both, `(m, 2, 2, n)`.
        vv: Of r and a, `(2, 2, n)`.
    """

    def __init__(self, size: int, slots: int, like: Tensor) -> None:
        m = size
        table = self.table = like.new_zeros(m + 1, 2, m + 1, 2, slots)
        self.ss, self.sf, self.ff = table[:m, 0, :m, 0], table[:m, 0, :m, 1], table[:m, 1, :m, 1]
        self.pairs_v, self.vv = table[:m, :, m], table[m, :, m]
        self.sv, self.fv = self.pairs_v.unbind(1)
        # The views to write to, once for each place of the newest pair.
        self._rows = [table[i :: m - i] for i in range(m)]
        self._columns = [table[:, :, i :: m - i].permute(2, 3, 0, 1, 4) for i in range(m)]
        self._products = like.new_empty(slots, 2 * m + 2, 4)
        self._found = self._products.permute(2, 1, 0).view(2, 2, m + 1, 2, slots)

    def multiply(self, part: slice, vectors: Tensor, changed: Tensor) -> None:
        """Compute the products with the newest pair and with r and a for some of the problems.

        Args:
            part: Which k of the n problems.
            vectors: All of theirs, `(k, 2 m + 2, D)`.
            changed: The newest pair, r and a, `(k, 4, D)`; masked, if the products are.
        """
        torch.bmm(vectors, changed.transpose(1, 2), out=self._products[part])

    def update(self, newest: int) -> None:
        """Take the computed products over; `newest` is the place of the newest pair."""
        self._rows[newest].copy_(self._found)
        self._columns[newest].copy_(self._found)

    def keep(self, slots: Tensor) -> "Gram":
        """Return the inner products of some problems (an index)."""
        selected = Gram(len(self.table) - 1, len(slots), self.table)
        selected.table.copy_(self.table[..., slots])
        return selected


class TwoLoops:
    """The two-loop recursion (Nocedal and Wright 2006, algorithm 7.4) for two vectors at once.

    Args:
        size: Number of pairs, m.
        slots: Number of problems, n.
        like: Gives dtype and device.

    Attributes:
        sy: `s_i . y_j`, to be written before a run, `(m, m, n)`.
        yy: `y_i . y_j`, likewise, `(m, m, n)`.
        sv: `s_i . v` for the two vectors v, likewise, `(m, 2, n)`; overwritten by a run.
        yv: `y_i . v`, likewise.
        sy_diagonal: `s_i . y_i`, `(m, n)`, a view; `yy_diagonal` likewise.
    """

    def __init__(self, size: int, slots: int, like: Tensor) -> None:
        self.sy, self.yy = (like.new_zeros(size, size, slots) for _ in range(2))
        self.sy_diagonal, self.yy_diagonal = self.sy.diagonal().t(), self.yy.diagonal().t()
        vectors = [like.new_zeros(size, 2, slots) for _ in range(4)]
        self.sv, self.yv, self._first, self._second = vectors
        # All views once: taken one by one they cost as much as the arithmetic.
        self._of_s, self._of_y, self._firsts, self._seconds = (v.unbind() for v in vectors)
        self._columns = self.sy.unsqueeze(2).unbind(1)
        self._rows = self.sy.unsqueeze(2).unbind(0)
        self._squares = self.yy.unsqueeze(2).unbind(1)

    def run(self, inverse: Tensor, scale: Tensor, oldest: int) -> tuple[Tensor, Tensor]:
        """Return coefficients, `(m, 2, n)` each, valid until the next run.

        `H v = scale * (v - sum_i first_i y_i) + sum_i second_i s_i`.

        Args:
            inverse: `1 / s_i . y_i`, 0 for a pair that takes no part, `(m, n)`.
            scale: What the inverse Hessian starts from, times the identity, `(n,)`.
            oldest: Place of the oldest pair.
        """
        size = len(inverse)
        order = [(oldest + age) % size for age in range(size)]
        inverses = inverse.unbind()
        for i in reversed(order):
            torch.mul(self._of_s[i], inverses[i], out=self._firsts[i])
            self.sv.addcmul_(self._columns[i], self._firsts[i], value=-1)
            self.yv.addcmul_(self._squares[i], self._firsts[i], value=-1)
        self.yv.mul_(scale)
        for i in order:
            torch.addcmul(
                self._firsts[i], self._of_y[i], inverses[i], value=-1, out=self._seconds[i]
            )
            self.yv.addcmul_(self._rows[i], self._seconds[i])
        return self._first, self._second
