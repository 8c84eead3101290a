"""A fixed-size pool of examples, part of which is continuously replaced (the paper's pool)."""

from collections.abc import Mapping

import torch
from torch import Tensor

from lit_intriguing.checks import check_whole
from lit_intriguing.errors import UserError


class PoolError(UserError, ValueError):
    """New examples do not fit the pool, or the pool does not fit the memory."""


class Pool:
    """Examples stored in several tensors, which are allocated when the first examples come.

    While the pool fills, examples take the next free slots. Once it is full, each batch of new
    examples replaces as many old ones, chosen at random.

    Args:
        size: Number of examples stored.

    Raises:
        PoolError: If `size` is less than 1.
    """

    def __init__(self, size: int) -> None:
        if not isinstance(size, int) or size < 1:
            raise PoolError(f"A pool needs room for at least one example, not {size}.")
        self.size = size
        self.count = 0
        self.tensors: dict[str, Tensor] = {}

    def __len__(self) -> int:
        return self.count

    def replace(self, examples: Mapping[str, Tensor], generator: torch.Generator) -> None:
        """Put new examples in, over a random part of the old ones where there is no free slot.

        Args:
            examples: Tensors of shape `(M, *S_name)`, M at most `size`.
            generator: Source of randomness, on the CPU.

        Raises:
            PoolError: If the examples differ from those stored in names, shapes or dtypes, if the
                tensors differ in length, or if the pool does not fit the memory that is free.
        """
        new = len(next(iter(examples.values())))
        if new > self.size:
            raise PoolError(f"{new} new examples do not fit a pool of {self.size} examples.")
        if not self.tensors:
            self._allocate(examples)
        self._check(examples, new)
        slots = self._slots(new, generator)
        for name, tensor in self.tensors.items():
            tensor.index_copy_(0, slots.to(tensor.device), examples[name].detach())
        self.count = min(self.size, self.count + new)

    def fits(self, entries: Mapping[str, object]) -> bool:
        """Return whether entries are tensors of the shapes that are stored; any do while empty."""
        return all(isinstance(one, Tensor) for one in entries.values()) and all(
            one.shape[1:] == self.tensors[name].shape[1:]  # type: ignore[attr-defined]
            for name, one in entries.items()
            if name in self.tensors
        )

    def draw(
        self,
        count: int,
        generator: torch.Generator,
        part: slice = slice(None),
        copied: bool = True,
    ) -> dict[str, Tensor]:
        """Return copies of `count` distinct examples chosen at random; of all if there are fewer.

        Args:
            count: How many, M.
            generator: Source of randomness, on the CPU.
            part: Which of these to return.
            copied: Whether all of a pool are copied too; else they are views, for one who copies.

        Returns:
            Tensors of shape `(min(M, len), *S_name)`, or of that part.

        Raises:
            ValueError: If `count` is negative.
        """
        if type(count) is not int or count < 0:
            check_whole("Pool.draw", 0, count=count)
        if count >= self.count:
            views = {name: tensor[: self.count][part] for name, tensor in self.tensors.items()}
            return {n: view.clone() for n, view in views.items()} if copied else views
        chosen = torch.randperm(self.count, generator=generator)[:count][part]
        return {
            name: tensor.index_select(0, chosen.to(tensor.device))
            for name, tensor in self.tensors.items()
        }

    def filled(self, name: str) -> Tensor:
        """Return the filled part of one tensor, `(len, *S_name)`, as a view."""
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
                    f"The checkpoint holds a pool of {len(tensor)} examples, this run one of "
                    f"{self.size}: give the size of the checkpoint's run, or start without it."
                )
        if not 0 <= count <= self.size:
            raise PoolError(
                f"The checkpoint's pool says that {count} of {self.size} examples are stored: it "
                "is damaged; take another checkpoint, or start without it."
            )
        self.tensors = {name: tensor.to(device) for name, tensor in tensors.items()}
        self.count = count

    def _slots(self, new: int, generator: torch.Generator) -> Tensor:
        last = min(self.size, self.count + new)
        taken = last - self.count
        if taken == new:
            return torch.arange(self.count, last)
        old = torch.randperm(self.count, generator=generator)[: new - taken]
        return torch.cat([torch.arange(self.count, last), old]) if taken else old

    def _allocate(self, examples: Mapping[str, Tensor]) -> None:
        some = next(iter(examples.values()))
        needed = sum(self.size * one[:1].numel() * one.element_size() for one in examples.values())
        free = free_memory(some.device)
        if free is not None and needed > free:
            raise PoolError(
                f"A pool of {self.size} examples needs {needed / 2**30:.1f} GiB, and {some.device} "
                f"has {free / 2**30:.1f} GiB free: use a smaller pool."
            )
        self.tensors = {
            name: one.new_zeros((self.size, *one.shape[1:])) for name, one in examples.items()
        }

    def _check(self, examples: Mapping[str, Tensor], count: int) -> None:
        if examples.keys() != self.tensors.keys():
            raise PoolError(
                f"The pool stores {sorted(self.tensors)}, the new examples have "
                f"{sorted(examples)}. A pool from a checkpoint with other options cannot be used: "
                "start without that checkpoint."
            )
        for name, stored in self.tensors.items():
            new = examples[name]
            if new.shape[1:] != stored.shape[1:]:
                raise PoolError(
                    f"The pool stores {name!r} of shape {tuple(stored.shape[1:])} for each "
                    f"example, the new examples have {tuple(new.shape[1:])}. A pool from the "
                    "checkpoint of another network cannot be used: start without that checkpoint."
                )
            if new.dtype != stored.dtype:
                raise PoolError(
                    f"The pool stores {name!r} as {stored.dtype}, the new examples are "
                    f"{new.dtype}. A pool from a checkpoint of another precision cannot be used: "
                    "start without it."
                )
            if len(new) != count:
                raise PoolError(
                    f"{name!r} has {len(new)} examples where other tensors have {count}."
                )


def free_memory(device: torch.device) -> int | None:
    """Return the bytes free on a device, or None if that is unknown."""
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
