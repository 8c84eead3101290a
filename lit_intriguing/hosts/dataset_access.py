"""Examples of a data set by their numbers, read as a loader reads them."""

from collections.abc import Sequence
from typing import Any

import torch
from lightning.pytorch.overrides.distributed import UnrepeatedDistributedSampler
from torch.utils.data import (
    DataLoader,
    DistributedSampler,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)

from lit_intriguing.data.images.dataset import TrainingOrder
from lit_intriguing.data.tensor_loader import TensorLoader

_WHOLE = (
    SequentialSampler,
    RandomSampler,
    WeightedRandomSampler,
    DistributedSampler,
    UnrepeatedDistributedSampler,
    TrainingOrder,
)
"""Samplers that choose an order of the whole data set; a subclass may leave examples out."""


def example_order(loader: object) -> Sequence[int] | None:
    """Return the numbers of the examples that a loader gives, in the data's own order.

    Args:
        loader: A `TensorLoader`, a torch `DataLoader`, or anything else.

    Returns:
        The examples' numbers in the data set; None if they are unknown, as for streams, unknown
        samplers, and data sets that give whole batches.
    """
    if isinstance(loader, TensorLoader):
        return range(len(loader.inputs))
    if not isinstance(loader, DataLoader) or isinstance(loader.dataset, IterableDataset):
        return None
    if loader.batch_size is None:  # a batch sampler, or a data set of batches
        return None
    if type(loader.sampler) is SubsetRandomSampler:
        return [int(index) for index in loader.sampler.indices]
    return range(len(loader.dataset)) if type(loader.sampler) in _WHOLE else None  # type: ignore[arg-type]


def loader_over(
    loader: "DataLoader[Any]",
    order: Sequence[int],
    *,
    batch_size: int | None = None,
    most_workers: int | None = None,
    generator: torch.Generator | None = None,
) -> "DataLoader[Any]":
    """Return a loader that reads other examples in the same way.

    Args:
        loader: Gives data set, workers and the function that collates a batch.
        order: Numbers of the examples, one after the other.
        batch_size: Examples in a batch; None for the loader's own number.
        most_workers: Worker processes at most.
        generator: Seeds the workers; None for torch's global one.
    """
    workers = {"prefetch_factor": loader.prefetch_factor, "timeout": loader.timeout}
    count = loader.num_workers
    return DataLoader(
        loader.dataset,
        batch_size=batch_size or loader.batch_size,
        sampler=order,
        num_workers=count if most_workers is None else min(count, most_workers),
        collate_fn=loader.collate_fn,
        pin_memory=loader.pin_memory,
        worker_init_fn=loader.worker_init_fn,
        multiprocessing_context=loader.multiprocessing_context,
        generator=generator,
        **(workers if count else {}),  # type: ignore[arg-type]
    )
