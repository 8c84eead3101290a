"""The rows of a data loader in the data's own order, in chunks of a fixed size."""

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from lit_intriguing.data import TensorLoader
from lit_intriguing.errors import UserError
from lit_intriguing.hosts.dataset_access import example_order, loader_over
from lit_intriguing.splice import kind

Pair = tuple[Tensor, Tensor]


class ChunkLoader:
    """This process's chunks: number `rank`, `rank + world_size`, ... of the whole.

    Shuffling, `drop_last` and the sharing out to processes of a known loader are set aside: every
    row comes once, in the data set's own order, whatever the loader's batch size.

    Args:
        loader: A `TensorLoader`; a torch `DataLoader`; or, in a single process, any iterable of
            batches, whose order is then its own.
        size: Rows a chunk.
        limit: Take no more rows than that.
        rank: Of this process.
        world_size: Processes that share the chunks.

    Raises:
        UserError: No rows; while iterating, batches that are no (images, labels); several
            processes and a loader of which it cannot be told which rows each would get.
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
        if self._order is None and world_size > 1:
            raise UserError(
                f"the rows of a {type(loader).__name__} cannot be shared out to {world_size} "
                "processes: use one process, or a DataLoader over a data set with a length."
            )
        if self.rows == 0:
            raise UserError("the split has no rows.")

    @property
    def rows(self) -> int | None:
        """Rows in all chunks of all processes; None where only reading tells."""
        if self._order is None:
            return None
        return len(self._order) if self.limit is None else min(len(self._order), self.limit)

    @property
    def chunks(self) -> int | None:
        """Chunks of all processes; None where only reading tells."""
        return None if self.rows is None else -(-self.rows // self.size)

    @property
    def own_chunks(self) -> int | None:
        """Chunks of this process; None where only reading tells."""
        return None if self.chunks is None else len(range(self.rank, self.chunks, self.world_size))

    def __len__(self) -> int:
        """Chunks of the process with the most: Lightning wants one on each."""
        if self.chunks is None:
            raise TypeError(f"a {type(self.loader).__name__} does not tell its number of rows")
        return -(-self.chunks // self.world_size)

    def index(self, position: int) -> int:
        """Number, in the whole, of this process's chunk number `position`."""
        return self.rank + position * self.world_size

    def __iter__(self) -> Iterator[Pair]:
        """Yields `(images (n, *S), labels)`, n = `size` but for the last chunk of the whole."""
        if self._order is None:
            assert isinstance(self.loader, Iterable)
            yield from regrouped(map(images_and_labels, self.loader), self.size, self.limit)
        elif isinstance(self.loader, TensorLoader):
            for rows in self._own():
                # Copies: what the data does to a batch on its way must not change the data set.
                yield self.loader.inputs[rows].clone(), self.loader.labels[rows].clone()
        else:
            assert isinstance(self.loader, DataLoader)
            order = [row for rows in self._own() for row in self._order[rows]]
            # Of its own, so that reading takes nothing from the global one.
            generator = torch.Generator().manual_seed(0)
            batches = loader_over(self.loader, order, generator=generator)
            yield from regrouped(map(images_and_labels, batches), self.size)

    def _own(self) -> Iterator[slice]:
        assert self.rows is not None
        for start in range(self.rank * self.size, self.rows, self.world_size * self.size):
            yield slice(start, min(start + self.size, self.rows))


def regrouped(batches: Iterable[Pair], size: int, limit: int | None = None) -> Iterator[Pair]:
    """Cuts batches of any sizes into chunks of `size` rows, the last with what is left.

    Args:
        batches: Pairs of tensors with equal numbers of rows.
        size: Rows a chunk.
        limit: Stop after so many rows.
    """
    waiting: list[Pair] = []
    count, left = 0, limit
    for batch in batches:
        images, labels = batch if left is None else (batch[0][:left], batch[1][:left])
        if left is not None:
            left -= len(labels)
        waiting.append((images, labels))
        count += len(labels)
        while count >= size:
            images, labels = _stacked(waiting)
            yield images[:size], labels[:size]
            waiting, count = [(images[size:], labels[size:])], count - size
        if left == 0:
            break
    if count:
        yield _stacked(waiting)


def images_and_labels(batch: object) -> Pair:
    """Takes the two tensors out of a batch.

    Raises:
        UserError: It is no tuple or list that begins with two tensors of equal length.
    """
    if isinstance(batch, tuple | list) and len(batch) >= 2:
        images, labels = batch[:2]
        if isinstance(images, Tensor) and isinstance(labels, Tensor) and labels.ndim:
            if len(images) == len(labels):
                return images, labels
            found = f"{len(images)} images and {len(labels)} labels"
        else:
            found = f"{kind(images)} and {kind(labels)}"
    else:
        found = kind(batch)
    raise UserError(
        f"an attack needs batches (images, labels), two tensors with a row each; the data gave "
        f"{found}. Wrap the data module."
    )


def _stacked(pairs: Sequence[Pair]) -> Pair:
    if len(pairs) == 1:
        return pairs[0]
    images, labels = zip(*pairs, strict=True)
    return torch.cat(images), torch.cat(labels)
