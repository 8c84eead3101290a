"""The images at the top of some direction, read again after the pass over all of them."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from lightning.pytorch import Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader

from lit_intriguing.data import TensorLoader
from lit_intriguing.hosts.dataset_access import example_order, loader_over
from lit_intriguing.splits.loader import KEYS, ChunkLoader
from lit_intriguing.units.batches import Batch, indexed
from lit_intriguing.units.coherence import ByFeatures, ByLabels, Coherence
from lit_intriguing.units.features import features_of
from lit_intriguing.units.network_scan import NetworkScan, distinct


@dataclass(frozen=True)
class Reader:
    """Reads images of a split by their indices.

    Attributes:
        chunks: The split, whole.
    """

    chunks: ChunkLoader

    def at(
        self, rows: Tensor, prepare: Callable[[Any], Any] = lambda batch: batch
    ) -> Iterator[Batch]:
        """Yield the images with increasing indices `(n,)`; others are not read if possible.

        Args:
            rows: The indices.
            prepare: What is done to a batch as the loader gives it.
        """
        for batch in indexed(_pair(prepare(one)) for one in self._batches(rows)):
            if self._skips:
                yield batch._replace(indices=rows[batch.indices])
            else:
                wanted = torch.isin(batch.indices, rows)
                some = wanted.to(batch.images.device)
                yield Batch(batch.indices[wanted], batch.images[some], None)

    def images(self, indices: Tensor) -> Tensor:
        """Return images `(*I, *S)` of indices of any shape `(*I)`."""
        rows, places = torch.unique(indices, return_inverse=True)
        return torch.cat([batch.images.cpu() for batch in self.at(rows)])[places]

    @property
    def _skips(self) -> bool:
        """Whether images that are not wanted need not be read."""
        return example_order(self.chunks.loader) is not None

    def _batches(self, rows: Tensor) -> Iterable[Any]:
        loader = self.chunks.loader
        order = example_order(loader)
        if order is None:
            return self.chunks
        wanted = [order[row] for row in rows.tolist()]
        if isinstance(loader, TensorLoader):
            parts = torch.tensor(wanted).split(self.chunks.size)  # type: ignore[no-untyped-call]
            return ((loader.inputs[some], loader.labels[some]) for some in parts)
        assert isinstance(loader, DataLoader)
        return loader_over(loader, wanted, generator=torch.Generator().manual_seed(0))


def _pair(batch: Any) -> tuple[Tensor, Tensor]:
    """Return images and labels of a batch of any kind."""
    return KEYS.resolve(batch).read(batch)


def loader_of(chunks: ChunkLoader) -> Reader:
    """Return what reads images of all processes' chunks."""
    return Reader(ChunkLoader(chunks.loader, chunks.size, chunks.limit))


def coherence_of(
    features: nn.Module | None,
    labels: Tensor,
    reader: Reader,
    scans: Iterable[NetworkScan],
    trainer: Trainer,
) -> Coherence:
    """Return what sets of images are compared by.

    Args:
        features: Maps images to features `(n, F)`; None to compare labels.
        labels: `(N,)` of all images.
        reader: Of images.
        scans: After the last image.
        trainer: Brings images to the device, as in its own loops.
    """
    if features is None:
        return ByLabels(labels)
    rows = distinct(scan.top_indices() for scan in scans)
    found = reader.at(rows, lambda batch: trainer.strategy.batch_to_device(batch, dataloader_idx=0))
    return ByFeatures(rows, features_of(features, (batch.images for batch in found)))
