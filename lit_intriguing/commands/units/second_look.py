"""The images at the top of some direction, read again after the pass over all of them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from lightning.pytorch import Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader

from lit_intriguing.data import TensorLoader
from lit_intriguing.hosts.row_access import reading, row_order
from lit_intriguing.splits.loader import ChunkLoader, images_and_labels
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

    def at(self, rows: Tensor) -> Iterator[Batch]:
        """Yield the images with increasing indices `(n,)`; others are not read if possible."""
        loader = self.chunks.loader
        order = row_order(loader)
        if order is not None and isinstance(loader, DataLoader):
            generator = torch.Generator().manual_seed(0)
            batches = reading(loader, [order[row] for row in rows], generator=generator)
            for batch in indexed(map(images_and_labels, batches)):
                yield batch._replace(indices=rows[batch.indices])
        elif isinstance(loader, TensorLoader):
            for start in range(0, len(rows), self.chunks.size):
                some = rows[start : start + self.chunks.size]
                yield Batch(some, loader.inputs[some], loader.labels[some])
        else:
            for batch in indexed(self.chunks):
                wanted = torch.isin(batch.indices, rows)
                yield Batch(batch.indices[wanted], batch.images[wanted], None)

    def images(self, indices: Tensor) -> Tensor:
        """Return images `(*I, *S)` of indices of any shape `(*I)`."""
        rows, places = torch.unique(indices, return_inverse=True)
        return torch.cat([batch.images.cpu() for batch in self.at(rows)])[places]


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
    return ByFeatures(rows, features_of(features, _on_device(reader.at(rows), trainer)))


def _on_device(batches: Iterable[Batch], trainer: Trainer) -> Iterator[Tensor]:
    """Yield images as the Trainer's own loops would get them, the data module's hooks applied."""
    for batch in batches:
        labels = torch.zeros(len(batch.images), dtype=torch.int64)
        images, _ = trainer.strategy.batch_to_device((batch.images, labels), dataloader_idx=0)
        yield images
