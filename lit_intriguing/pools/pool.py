"""A fixed-size ring of rows, part of which is continuously replaced: the paper's pool."""

from collections.abc import Mapping

import torch
from torch import Tensor

from lit_intriguing.errors import UserError


class PoolError(UserError, ValueError):
    """Rows do not fit the pool, or the pool does not fit the memory."""


class Pool:
    """Rows of several tensors, preallocated at the first rows given.

    While the pool fills, rows take the next free slots; once full, each batch of new rows replaces
    as many old ones chosen at random.

    Args:
        size: Rows kept.

    Raises:
        PoolError: If ``size`` is less than 1.
    """

    def __init__(self, size: int) -> None:
        if size < 1:
            raise PoolError(f"A pool needs at least one row, not {size}.")
        self.size = size
        self.count = 0
        self.tensors: dict[str, Tensor] = {}

    def __len__(self) -> int:
        return self.count

    def replace(self, rows: Mapping[str, Tensor], generator: torch.Generator) -> None:
        """Put new rows in, over a random part of the old ones where there is no free slot.

        Args:
            rows: Tensors of shape ``(M, *S_name)``, M at most ``size``.
            generator: Source of randomness, on the CPU.

        Raises:
            PoolError: If the rows differ from those kept in names, shapes or dtypes, or from each
                other in number, or the pool does not fit the memory that is free.
        """
        many = len(next(iter(rows.values())))
        if many > self.size:
            raise PoolError(f"{many} new rows do not fit a pool of {self.size} rows.")
        if not self.tensors:
            self._allocate(rows)
        self._check(rows, many)
        slots = self._slots(many, generator)
        for name, tensor in self.tensors.items():
            tensor.index_copy_(0, slots.to(tensor.device), rows[name].detach())
        self.count = min(self.size, self.count + many)

    def draw(self, rows: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Return copies of ``rows`` distinct rows chosen at random; of all if there are no more.

        Args:
            rows: How many, M.
            generator: Source of randomness, on the CPU.

        Returns:
            Tensors of shape ``(min(M, len), *S_name)``.
        """
        if rows >= self.count:
            return {name: tensor[: self.count].clone() for name, tensor in self.tensors.items()}
        chosen = torch.randperm(self.count, generator=generator)[:rows]
        return {
            name: tensor.index_select(0, chosen.to(tensor.device))
            for name, tensor in self.tensors.items()
        }

    def filled(self, name: str) -> Tensor:
        """Return the rows of one tensor that hold something, ``(len, *S_name)``: a view."""
        return self.tensors[name][: self.count]

    def state_dict(self) -> dict[str, object]:
        """Return the state; its tensors are the pool's own, not copies."""
        return {"count": self.count, "tensors": dict(self.tensors)}

    def load_state_dict(self, state: Mapping[str, object], device: torch.device) -> None:
        """Take over a state.

        Raises:
            PoolError: If it holds a pool of another size.
        """
        tensors, count = state["tensors"], state["count"]
        assert isinstance(tensors, Mapping)
        assert isinstance(count, int)
        for tensor in tensors.values():
            if len(tensor) != self.size:
                raise PoolError(
                    f"The checkpoint holds a pool of {len(tensor)} rows, this run one of "
                    f"{self.size}: give the size of the checkpoint's run, or start without it."
                )
        self.tensors = {name: tensor.to(device) for name, tensor in tensors.items()}
        self.count = count

    def _slots(self, many: int, generator: torch.Generator) -> Tensor:
        free = torch.arange(self.count, min(self.size, self.count + many))
        if len(free) == many:
            return free
        old = torch.randperm(self.count, generator=generator)[: many - len(free)]
        return torch.cat([free, old])

    def _allocate(self, rows: Mapping[str, Tensor]) -> None:
        some = next(iter(rows.values()))
        needed = sum(self.size * row[:1].numel() * row.element_size() for row in rows.values())
        free = free_memory(some.device)
        if free is not None and needed > free:
            raise PoolError(
                f"A pool of {self.size} rows needs {needed / 2**30:.1f} GiB, and {some.device} has "
                f"{free / 2**30:.1f} GiB free: keep fewer rows."
            )
        self.tensors = {
            name: row.new_zeros((self.size, *row.shape[1:])) for name, row in rows.items()
        }

    def _check(self, rows: Mapping[str, Tensor], many: int) -> None:
        if rows.keys() != self.tensors.keys():
            raise PoolError(
                f"The pool keeps {sorted(self.tensors)}, the new rows have {sorted(rows)}. A pool "
                "from a checkpoint with other options cannot go on: start without that checkpoint."
            )
        for name, kept in self.tensors.items():
            new = rows[name]
            if new.shape[1:] != kept.shape[1:]:
                raise PoolError(
                    f"The pool keeps {name!r} of shape {tuple(kept.shape[1:])} for each row, the "
                    f"new rows have {tuple(new.shape[1:])}. A pool from the checkpoint of another "
                    "network cannot go on: start without that checkpoint. Batches of varying "
                    "shape cannot be kept."
                )
            if new.dtype != kept.dtype:
                raise PoolError(
                    f"The pool keeps {name!r} as {kept.dtype}, the new rows are {new.dtype}. A "
                    "pool from a checkpoint of another precision cannot go on: start without it."
                )
            if len(new) != many:
                raise PoolError(f"{name!r} has {len(new)} rows where other tensors have {many}.")


def free_memory(device: torch.device) -> int | None:
    """Return the bytes free on a device, or None where that cannot be told."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    if device.type == "cpu":
        return _available_memory()
    return None


def _available_memory() -> int | None:
    # Not the free pages alone: they leave out the page cache, which is given back on demand.
    try:
        with open("/proc/meminfo") as lines:
            kibibytes = [line.split()[1] for line in lines if line.startswith("MemAvailable")]
    except OSError:
        return None
    return int(kibibytes[0]) * 1024 if kibibytes else None
