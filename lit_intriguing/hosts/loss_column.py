"""A host's loss as attacks take it: of single tokens, of the entries that a mask leaves."""

from collections.abc import Callable, Sequence

from torch import Tensor

from lit_intriguing.errors import UserError
from lit_intriguing.hosts.paths import Key


class LossColumn:
    """Minus the host's loss, in equal shares for all rows, as a function of what is attacked.

    Args:
        loss: Of the tensor that takes the place of `x`; None where the host skips the batch.
        x: The clean tensor, `(N, *S)`.
        mask: What may be perturbed, in a shape that multiplies `x`; None for everything.
        unit: What lengths are measured in, `()`.
        per_token: Whether an attack's rows are the N * T tokens of `x`, `(N, T, D)`.

    Attributes:
        start: What the attack starts from: `x`, or its tokens, in units.
    """

    def __init__(
        self,
        loss: Callable[[Tensor], Tensor | None],
        x: Tensor,
        mask: Tensor | None,
        unit: Tensor,
        per_token: bool,
    ) -> None:
        self.loss, self.x, self.mask, self.unit = loss, x, mask, unit
        self.start = (x.flatten(0, 1) if per_token else x) / unit

    def __call__(self, moved: Tensor) -> Tensor:
        """Return the column `(M, 1)` of M rows of the attack."""
        loss = self.loss(self.back(moved))
        if loss is None:
            loss = moved.sum() * 0
        return (-loss / len(moved)).expand(len(moved)).unsqueeze(1)

    def back(self, moved: Tensor) -> Tensor:
        """Return a tensor in the shape and units of `x`, with nothing but what may change."""
        new = (moved * self.unit).view_as(self.x)
        return new if self.mask is None else self.x + (new - self.x) * self.mask


def as_mask(entry: object, x: Tensor, name: Key, there: Sequence[Key]) -> Tensor:
    """Return an entry of a batch in a shape that multiplies activations `(N, T, ...)`.

    Args:
        entry: `(N, T)`, or of other first dimensions of `x`.
        x: The activations.
        name: Of the entry, for the message.
        there: Names of the entries that there are.

    Raises:
        UserError: If it is no tensor of the first dimensions of `x`.
    """
    if not isinstance(entry, Tensor) or entry.shape != x.shape[: entry.ndim]:
        raise UserError(
            f"mask={name!r} must name an entry of the batch of the shape of the first "
            f"dimensions of {tuple(x.shape)}; the batch's rows have {list(there)}."
        )
    return entry[: len(x)].to(x.dtype).reshape(*entry.shape, *(1,) * (x.ndim - entry.ndim))
