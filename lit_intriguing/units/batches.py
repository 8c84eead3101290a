"""Batches of images with the index of each image, to be gone through more than once."""

from collections.abc import Iterable, Iterator, Sized
from typing import Any, NamedTuple, TypeGuard

import torch
from torch import Tensor
from torch.utils.data import (
    DataLoader,
    RandomSampler,
    SequentialSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)

from lit_intriguing.errors import UserError
from lit_intriguing.splice import kind

Batches = Tensor | tuple[Tensor, Tensor] | Iterable[Any]
"""Images; a pair of images and labels; or a loader of batches of one of these."""

_SIZE = 100
"""Images a batch where tensors are given."""


class Batch(NamedTuple):
    """Some images.

    Attributes:
        indices: `(n,)` their indices in the data.
        images: `(n, *S)`.
        labels: `(n,)` integers, or None.
    """

    indices: Tensor
    images: Tensor
    labels: Tensor | None


def as_loader(batches: Batches) -> Iterable[Any]:
    """Return what can be gone through repeatedly, in one order.

    Raises:
        UserError: It can be gone through only once, or it shuffles.
    """
    if isinstance(batches, Tensor):
        return DataLoader(TensorDataset(batches), batch_size=_SIZE)
    if isinstance(batches, tuple) and all(isinstance(part, Tensor) for part in batches):
        if len(batches) != 2 or len(batches[0]) != len(batches[1]):
            raise UserError(
                "Give images and labels in equal number, not "
                f"{' and '.join(kind(part) for part in batches)}."
            )
        return DataLoader(TensorDataset(*batches), batch_size=_SIZE)
    if isinstance(batches, Iterator):
        raise UserError("Give a loader that can be gone through repeatedly, not an iterator.")
    if _shuffles(batches):
        raise UserError(
            "The loader shuffles, so that an image has no fixed index. Give one that does not."
        )
    return batches


def number_of_images(loader: Iterable[Any]) -> int | None:
    """Return how many images there are, or None where only reading tells."""
    if _in_order(loader) and isinstance(loader.dataset, Sized):
        return len(loader.dataset)
    return None


def indexed(loader: Iterable[Any]) -> Iterator[Batch]:
    """Yield batches with indices that count from 0.

    Raises:
        UserError: A batch does not begin with a tensor of images.
    """
    first = 0
    for batch in loader:
        images, labels = _parts(batch)
        yield Batch(torch.arange(first, first + len(images)), images, labels)
        first += len(images)


def selected(loader: Iterable[Any], rows: Tensor) -> Iterator[Batch]:
    """Yield some of the images; where the loader allows it, no others are read.

    Args:
        loader: See `as_loader`.
        rows: `(n,)` increasing indices.
    """
    if _in_order(loader):
        part = DataLoader(
            Subset(loader.dataset, rows.tolist()),
            batch_size=loader.batch_size,
            num_workers=loader.num_workers,
            collate_fn=loader.collate_fn,
            worker_init_fn=loader.worker_init_fn,
        )
        for batch in indexed(part):
            yield batch._replace(indices=rows[batch.indices])
        return
    for batch in indexed(loader):
        wanted = torch.isin(batch.indices, rows)
        if bool(wanted.any()):
            labels = None if batch.labels is None else batch.labels[wanted]
            yield Batch(batch.indices[wanted], batch.images[wanted], labels)


def images_at(batches: Batches, indices: Tensor) -> Tensor:
    """Return the images with given indices.

    Args:
        batches: As given to `analyse_units`.
        indices: Of any shape `(*I)`; repeated ones are read once.

    Returns:
        `(*I, *S)`.
    """
    rows, places = torch.unique(indices, return_inverse=True)
    images = torch.cat([batch.images.cpu() for batch in selected(as_loader(batches), rows)])
    if len(images) != len(rows):
        raise UserError(f"The data has only {len(images)} of the {len(rows)} images asked for.")
    return images[places]


def _shuffles(loader: Iterable[Any]) -> bool:
    """Return whether a loader is known to give the images another order each time."""
    # What makes the batches may draw from a sampler of its own.
    own = getattr(getattr(loader, "batch_sampler", None), "sampler", None)
    kinds = RandomSampler | SubsetRandomSampler | WeightedRandomSampler
    return isinstance(getattr(loader, "sampler", None), kinds) or isinstance(own, kinds)


def _in_order(loader: Iterable[Any]) -> "TypeGuard[DataLoader[Any]]":
    """Return whether a loader gives the items of its data set as images, one after the other.

    Torch sets a sampler in order also where `batch_sampler` makes the batches, and where the items
    are batches already (`batch_size=None`).
    """
    return (
        isinstance(loader, DataLoader)
        and loader.batch_size is not None
        and type(loader.sampler) is SequentialSampler
    )


def _parts(batch: object) -> tuple[Tensor, Tensor | None]:
    parts = list(batch[:2]) if isinstance(batch, tuple | list) else [batch]
    if not parts or not isinstance(parts[0], Tensor) or not parts[0].ndim:
        raise UserError(f"A batch must be images, or begin with them; the data gave {kind(batch)}.")
    labels = parts[1] if len(parts) > 1 else None
    if labels is not None and (not isinstance(labels, Tensor) or len(labels) != len(parts[0])):
        labels = None
    return parts[0], labels
