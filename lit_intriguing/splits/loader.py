"""The examples of a data loader in the data's own order, in chunks of a fixed size."""

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader

from lit_intriguing.data import TensorLoader
from lit_intriguing.errors import UserError
from lit_intriguing.hosts.batch import BatchKeys
from lit_intriguing.hosts.batch_slicing import concatenate, take
from lit_intriguing.hosts.dataset_access import example_order, loader_over

KEYS = BatchKeys(
    advice="The data must give batches (images, labels), or mappings or dataclasses with one "
    "floating-point tensor of images and one tensor of integer labels: change the data module, or "
    "wrap it."
)
"""Find images and labels in the batches of a split."""


class ChunkLoader:
    """This process's chunks: number `rank`, `rank + world_size`, ... of all.

    Shuffling, `drop_last` and the sharing among processes of a known loader are set aside: every
    example comes once, in the data set's own order, whatever the loader's batch size. A chunk is a
    batch of the same kind as the loader's, so that hooks of the user's can handle it.

    Args:
        loader: A `TensorLoader`; a torch `DataLoader`; or, in a single process, any iterable of
            batches, whose order is then its own.
        size: Examples in a chunk.
        limit: Take no more examples than that.
        rank: Of this process.
        world_size: Processes that share the chunks.

    Attributes:
        exhausted: Whether data of unknown length have been read to their end.

    Raises:
        UserError: If there are no examples; while iterating, if the batches have no images and
            labels; if there are several processes and the loader does not say which examples each
            would get.
    """

    def __init__(
        self,
        loader: object,
        size: int,
        limit: int | None = None,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.loader, self.size, self.limit = loader, size, limit
        self.rank, self.world_size = rank, world_size
        self._order = example_order(loader)
        self.exhausted = False
        if self._order is None and world_size > 1:
            raise UserError(
                f"the examples of a {type(loader).__name__} cannot be shared out to {world_size} "
                "processes: use one process, or a DataLoader over a data set with a length."
            )
        if self.examples == 0:
            raise UserError("the split has no examples.")

    @property
    def examples(self) -> int | None:
        """Examples in all chunks of all processes; None where only reading shows it."""
        if self._order is None:
            return None
        return len(self._order) if self.limit is None else min(len(self._order), self.limit)

    @property
    def chunks(self) -> int | None:
        """Chunks of all processes; None where only reading shows it."""
        return None if self.examples is None else -(-self.examples // self.size)

    @property
    def own_chunks(self) -> int | None:
        """Chunks of this process; None where only reading shows it."""
        return None if self.chunks is None else len(range(self.rank, self.chunks, self.world_size))

    def __len__(self) -> int:
        """Return the chunks of the process with the most: Lightning wants one number for all."""
        if self.chunks is None:
            raise TypeError(f"the number of examples of a {type(self.loader).__name__} is unknown")
        return -(-self.chunks // self.world_size)

    def index(self, position: int) -> int:
        """Return the number, among all chunks, of this process's chunk at `position`."""
        return self.rank + position * self.world_size

    def __iter__(self) -> Iterator[Any]:
        """Yield batches of `size` examples; the last chunk of all may have fewer."""
        if self._order is None:
            assert isinstance(self.loader, Iterable)
            self.exhausted = False
            yield from regrouped(self.loader, self.size, self.limit)
            self.exhausted = True
        elif isinstance(self.loader, TensorLoader):
            for part in self._own():
                # Copies: what the data does to a batch on its way must not change the data set.
                yield self.loader.inputs[part].clone(), self.loader.labels[part].clone()
        else:
            assert isinstance(self.loader, DataLoader)
            order = [index for part in self._own() for index in self._order[part]]
            # A generator of its own, so that reading takes nothing from the global one.
            generator = torch.Generator().manual_seed(0)
            yield from regrouped(loader_over(self.loader, order, generator=generator), self.size)

    def _own(self) -> Iterator[slice]:
        assert self.examples is not None
        for start in range(self.rank * self.size, self.examples, self.world_size * self.size):
            yield slice(start, min(start + self.size, self.examples))


def regrouped(batches: Iterable[Any], size: int, limit: int | None = None) -> Iterator[Any]:
    """Cut batches of any sizes into chunks of `size` examples, the last with what is left.

    Args:
        batches: Batches of one kind, with images and labels.
        size: Examples in a chunk.
        limit: Stop after so many examples.

    Raises:
        BatchError: If a batch has no images and labels.
        UserError: If the images differ in shape.
    """
    waiting: list[Any] = []
    counts: list[int] = []
    left, first = limit, None
    for batch in batches:
        keys = KEYS.find(batch)
        count, shape = keys.count(batch), keys.example_shape(batch)
        first = shape if first is None else first
        if shape != first:
            raise UserError(
                f"the images of the split differ in shape, {first} and {shape}: an attack takes "
                "images of one shape. Have the data resize or crop them."
            )
        if left is not None:
            if left < count:
                batch, count = take(batch, count, slice(left)), left
            left -= count
        waiting.append(batch)
        counts.append(count)
        while (total := sum(counts)) >= size:
            whole = concatenate(waiting, counts)
            yield take(whole, total, slice(size))
            waiting, counts = [], []
            if total > size:
                waiting, counts = [take(whole, total, slice(size, None))], [total - size]
        if left == 0:
            break
    if waiting:
        yield concatenate(waiting, counts)
