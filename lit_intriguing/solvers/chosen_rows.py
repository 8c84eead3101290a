"""Some rows of tensors: by their index on a CPU, by a mask where an index must be waited for."""

from typing import Final

import torch
from torch import Tensor

_INDEXED: Final = {"cpu"}
"""Devices on which the index of some rows is at hand at once."""


class ChosenRows:
    """The rows for which a mask holds.

    On a CPU few rows are copied by their index: to choose by element would cost much more. A GPU
    would have to be waited for before it could say which rows these are; there all rows are
    read and written, and the mask chooses. What is written is the same.

    Args:
        mask: Bool `(n,)`.

    Attributes:
        mask: The same.
    """

    def __init__(self, mask: Tensor) -> None:
        self.mask = mask
        self._index = mask.nonzero().squeeze(1) if mask.device.type in _INDEXED else None

    @property
    def none(self) -> bool:
        """Whether there are surely none; False where that is not known."""
        return self._index is not None and not len(self._index)

    def of(self, rows: Tensor) -> Tensor:
        """Return a copy of these rows of `(n, ...)`, to be handed to `put`."""
        return rows.clone() if self._index is None else rows.index_select(0, self._index)

    def put(self, target: Tensor, rows: Tensor) -> None:
        """Write rows that `of` returned, or as many others, in place of these of `target`."""
        if self._index is None:
            target.copy_(torch.where(self._along(rows), rows, target))
        else:
            target.index_copy_(0, self._index, rows)

    def send(self, rows: Tensor, table: Tensor, places: Tensor) -> None:
        """Write these rows of `(n, ...)` to their places in a table, `(N, ...)`.

        Args:
            rows: From which they are taken.
            table: To which they are written.
            places: Of all n rows, all different, `(n,)`.
        """
        chosen, places = self.of(rows), self.of(places)
        if self._index is None:
            chosen = torch.where(self._along(chosen), chosen, table.index_select(0, places))
        table.index_copy_(0, places, chosen)

    def _along(self, rows: Tensor) -> Tensor:
        return self.mask.view(-1, *(1,) * (rows.ndim - 1))
