"""A pool of examples of different shapes, or with entries that are no tensors."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from lit_intriguing.pools.pool import Pool, PoolError

Row = dict[str, Any]
"""One example, by name: tensors without batch dimension, and whatever else it has."""


class RaggedPool:
    """Examples stored one by one, part of which is continuously replaced; see `Pool`.

    Those of one shape are drawn together, since they are to be one batch.

    Args:
        size: Number of examples stored.

    Raises:
        PoolError: If `size` is less than 1.
    """

    def __init__(self, size: int) -> None:
        if size < 1:
            raise PoolError(f"A pool needs room for at least one example, not {size}.")
        self.size = size
        self._rows: list[Row] = []

    @classmethod
    def of(cls, pool: Pool) -> "RaggedPool":
        """Return a pool with the examples of another one."""
        new = cls(pool.size)
        new._rows = _apart({name: pool.filled(name) for name in pool.tensors}, pool.count)
        return new

    def __len__(self) -> int:
        return len(self._rows)

    def replace(self, examples: Mapping[str, Any], generator: torch.Generator) -> None:
        """Put new examples in, over a random part of the old ones where there is no free slot.

        Args:
            examples: Tensors `(M, *S_name)` and sequences of M entries, M at most `size`.
            generator: Source of randomness, on the CPU.

        Raises:
            PoolError: If there are more than `size`.
        """
        new = _apart(examples, len(next(iter(examples.values()))))
        if len(new) > self.size:
            raise PoolError(f"{len(new)} new examples do not fit a pool of {self.size} examples.")
        free = min(self.size - len(self._rows), len(new))
        old = torch.randperm(len(self._rows), generator=generator)[: len(new) - free].tolist()
        for slot, row in zip(old, new[free:], strict=True):
            self._rows[slot] = row
        self._rows += new[:free]

    def draw(
        self, count: int, generator: torch.Generator, like: Mapping[str, Tensor] | None = None
    ) -> dict[str, Any]:
        """Return up to `count` distinct examples of one shape, chosen at random.

        Args:
            count: How many, M.
            generator: Source of randomness, on the CPU.
            like: Tensors `(N, *S_name)` whose shapes the examples are to have; None for the shape
                of an example that is chosen at random.

        Returns:
            Tensors `(M, *S_name)` and lists of M entries; without any name if none has the shape.
        """
        order = [self._rows[k] for k in torch.randperm(len(self._rows), generator=generator)]
        if like is not None:
            shapes = {name: one.shape[1:] for name, one in like.items()}
            order = [row for row in order if _shapes(row, shapes) == shapes]
        else:
            shapes = _shapes(order[0]) if order else {}
            order = [row for row in order if _shapes(row) == shapes]
        return _together(order[:count])

    def filled(self, name: str) -> Tensor:
        """Return one entry of all examples, `(len, *S_name)`, if it has one shape in all."""
        return torch.stack([row[name] for row in self._rows])

    def state_dict(self) -> dict[str, object]:
        """Return the state; its tensors are the pool's own, not copies."""
        return {"rows": list(self._rows)}

    def load_state_dict(self, state: Mapping[str, Any], device: torch.device) -> None:
        """Take over a state.

        Raises:
            PoolError: If it holds more examples than fit.
        """
        rows = state["rows"]
        if len(rows) > self.size:
            raise PoolError(
                f"The checkpoint holds a pool of {len(rows)} examples, this run one of "
                f"{self.size}: give the size of the checkpoint's run, or start without it."
            )
        self._rows = [
            {name: one.to(device) if isinstance(one, Tensor) else one for name, one in row.items()}
            for row in rows
        ]


def _apart(examples: Mapping[str, Any], count: int) -> list[Row]:
    # Copies: a view would keep the whole batch in memory.
    return [
        {
            name: one[k].detach().clone() if isinstance(one, Tensor) else one[k]
            for name, one in examples.items()
        }
        for k in range(count)
    ]


def _together(rows: list[Row]) -> dict[str, Any]:
    if not rows:
        return {}
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    return {
        name: torch.stack(one) if isinstance(one[0], Tensor) else one
        for name, one in columns.items()
    }


def _shapes(row: Row, names: Mapping[str, object] | None = None) -> dict[str, torch.Size]:
    return {
        name: one.shape
        for name, one in row.items()
        if isinstance(one, Tensor) and (names is None or name in names)
    }
