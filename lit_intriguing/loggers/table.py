"""A table for loggers, with pictures where a logger can show them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lit_intriguing.tables import Cell

Pixels = np.ndarray[Any, np.dtype[np.uint8]]


@dataclass(frozen=True)
class Table:
    """Columns of cells.

    Attributes:
        columns: C names.
        rows: N rows of C cells.
        images: Further columns, by their names: each (N, H, W, 3), from 0 to 255. Where a logger
            shows pictures in tables they stand behind the first column; elsewhere they are left
            out.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    images: Mapping[str, Pixels] = field(default_factory=dict)

    def typed(self) -> list[list[Cell | None]]:
        """Return the rows, with None for words in columns that hold numbers.

        W&B refuses columns of both; a word there says that there is no number.
        """
        numeric = [
            any(not isinstance(row[at], str) for row in self.rows)
            for at in range(len(self.columns))
        ]
        return [
            [None if numbers and isinstance(cell, str) else cell
             for cell, numbers in zip(row, numeric, strict=True)]
            for row in self.rows
        ]  # fmt: skip
