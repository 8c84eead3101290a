"""Images of a folder as a torch data set; chance in it depends on nothing but seeds."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch.overrides.distributed import UnrepeatedDistributedSampler
from torch import Tensor
from torch.utils.data import Dataset, DistributedSampler

from lit_intriguing.data.images.reading import UnreadableImageError, read_image
from lit_intriguing.errors import UserError


class EpochDataset(Dataset[Any]):
    """A data set with a length that learns of each epoch."""

    epoch: int = 0

    def __len__(self) -> int:
        raise NotImplementedError

    def identity(self) -> tuple[Tensor, ...]:
        """Return what tells its examples and their order from others, without reading them."""
        raise NotImplementedError


class FolderImages(EpochDataset):
    """Images `(channels, height, width)`, float32 in [0, 1], and their labels.

    What is random in `prepare`, drawn from torch's global generator, depends on
    `(seed, epoch, index)` alone: not on workers, processes or what was read before.

    Args:
        folder: Of the files.
        paths: Of the files, within it.
        labels: `(N,)`, int64.
        channels: 3 for RGB, 1 for grey.
        prepare: From `(channels, height, width)` to what the network gets.
        seed: Of what is random in `prepare`; None where nothing is.
    """

    def __init__(
        self,
        folder: Path,
        paths: Sequence[str],
        labels: Tensor,
        channels: int,
        prepare: Callable[[Tensor], Tensor],
        seed: int | None = None,
    ) -> None:
        self.folder, self.paths, self.labels = folder, paths, labels
        self.channels, self.prepare, self.seed = channels, prepare, seed
        self._kept: list[Tensor] | None = None

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image = self._image(index) if self._kept is None else self._kept[index]
        return self._prepared(image, index), int(self.labels[index])

    def identity(self) -> tuple[Tensor, ...]:
        """Return the files' names, as bytes, and the labels."""
        return names_as_bytes(self.paths), self.labels

    def keep(self) -> None:
        """Read all images now, and keep them in memory as they were in the files."""
        self._kept = [self._image(index) for index in range(len(self))]

    def _image(self, index: int) -> Tensor:
        path = self.folder / self.paths[index]
        try:
            return read_image(path, self.channels)
        except UnreadableImageError as error:
            raise UserError(
                f"{path} cannot be read any more ({error}): it could when the run began"
            ) from error

    def _prepared(self, image: Tensor, index: int) -> Tensor:
        if self.seed is None:
            return self.prepare(image)
        state = np.random.SeedSequence((self.seed, self.epoch, index)).generate_state(1)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(int(state[0]))
            return self.prepare(image)


def names_as_bytes(names: Sequence[str]) -> Tensor:
    """Return names as one tensor of bytes, a line for each."""
    return torch.tensor(list("\n".join(names).encode()), dtype=torch.uint8)


class TrainingOrder(DistributedSampler[int]):
    """This process's share of an order that depends on `(seed, epoch)` alone.

    Args:
        dataset: Learns of each epoch, so that its images are augmented anew.
        seed: Of the order.
        drop_last: Leave out what does not divide among the processes; else some images come twice.
        rank: Of this process.
        world_size: How many processes share the images.
    """

    dataset: EpochDataset

    def __init__(
        self, dataset: EpochDataset, seed: int, drop_last: bool, rank: int, world_size: int
    ) -> None:
        super().__init__(dataset, world_size, rank, shuffle=True, seed=seed, drop_last=drop_last)

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch; Lightning calls this before workers take their copy of the data set."""
        super().set_epoch(epoch)
        self.dataset.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        # A permutation of numpy's as in `TensorLoader`: seed 0 in epoch 1 is not seed 1 in epoch 0.
        order = np.random.default_rng((self.seed, self.epoch)).permutation(len(self.dataset))
        whole = np.resize(order, self.total_size)  # from the beginning again, or cut off
        return iter(whole[self.rank :: self.num_replicas].tolist())


def evaluation_order(dataset: EpochDataset, rank: int, world_size: int) -> DistributedSampler[int]:
    """Return this process's share in the data's own order; each image comes once.

    Raises:
        UserError: If there are fewer images than processes.
    """
    if len(dataset) < world_size:
        raise UserError(
            f"{len(dataset)} images are too few for {world_size} processes: each needs one"
        )
    return UnrepeatedDistributedSampler(dataset, world_size, rank, shuffle=False)


def evaluation_batch(images: int, batch_size: int, world_size: int) -> int:
    """Return a batch size, the given one or a little more, with as many batches on each process.

    Args:
        images: Of all processes, which have as many each, or one more.
        batch_size: Wanted.
        world_size: Processes.

    >>> evaluation_batch(9, 4, 2)  # 5 and 4 images: two batches and one
    5
    """
    each, more = divmod(images, world_size)
    while more and each and each % batch_size == 0:
        batch_size += 1
    return batch_size


def arranged(labels: Tensor, seed: int) -> Tensor:
    """Return an order, any first part of which has the classes in about their shares.

    Each class is shuffled and spread evenly over the whole.

    Args:
        labels: `(N,)`.
        seed: Of the order.

    Returns:
        Indices `(N,)`.
    """
    random = np.random.default_rng(seed)
    shuffled = random.permutation(len(labels))
    by_class = shuffled[np.argsort(labels.numpy()[shuffled], kind="stable")]
    counts = np.bincount(labels.numpy())
    counts = counts[counts > 0]
    within = np.concatenate([np.arange(count) for count in counts] or [np.arange(0)])
    places = (within + random.random(len(labels))) / np.repeat(counts, counts)
    return torch.from_numpy(by_class[np.argsort(places, kind="stable")])
