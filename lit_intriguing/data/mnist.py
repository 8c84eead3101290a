"""MNIST as a Lightning data module, whole or in the paper's halves."""

from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from lit_intriguing.argument_types import checked_arguments
from lit_intriguing.data import mnist_files
from lit_intriguing.data.tensor_module import Split, TensorDataModule
from lit_intriguing.errors import UserError

_SIZE = 60_000


@checked_arguments
class MNIST(TensorDataModule):
    """The 60,000 training and 10,000 test images of handwritten digits, 28x28.

    Batches are `(images, labels)`: images `(n, 1, 28, 28)`, float32, pixels in [0, 1]; labels
    `(n,)`, int64. The files are searched for in `data_dir`, `$LIT_INTRIGUING_DATA` and the user's
    cache (`~/.cache/lit-intriguing`), and checked; otherwise torchvision downloads them into the
    cache.

    `batch_size` is per process: two processes with 100 train on 200 examples a step.

    Args:
        data_dir: Folder of the files; its subfolders `MNIST/raw` and `raw` are searched as well.
        batch_size: Examples in a training batch, per process.
        eval_batch_size: Examples in a batch of validation, test and prediction, per process.
        validation: Training examples held out for validation.
        half: 1 or 2 for one of the paper's disjoint halves P1 and P2 of 30,000 training images
            (table 3); held-out examples then come from that half. None for all.
        drop_last: Leave out the training examples of an epoch that do not fill a batch.
        seed: Seed of the order of the training examples; None for the run's own
            (`seed_everything`).
        split_seed: Seed of the halves and the held-out examples; not the same as `seed`, so that
            runs with several seeds share their split.

    Raises:
        UserError: For an argument out of range; in `prepare_data`, for files that are missing and
            cannot be downloaded; in `setup`, for a file that is not the original.
    """

    def __init__(
        self,
        data_dir: str | Path | None = None,
        batch_size: int = 200,
        eval_batch_size: int = 1000,
        validation: int = 0,
        half: Literal[1, 2] | None = None,
        drop_last: bool = False,
        seed: int | None = None,
        split_seed: int = 0,
    ) -> None:
        super().__init__(batch_size, eval_batch_size, drop_last, seed)
        if half not in (None, 1, 2):
            raise UserError(f"half must be 1 or 2 (the paper's P1 or P2) or none, not {half}")
        size = _SIZE if half is None else _SIZE // 2
        if not 0 <= validation < size:
            raise UserError(f"validation must be from 0 to {size - 1} examples, not {validation}")
        if split_seed < 0:
            raise UserError(f"split_seed must not be negative: {split_seed}")
        self.data_dir = data_dir
        self.validation = validation
        self.half = half
        self.split_seed = split_seed

    def prepare_data(self) -> None:
        """Download missing files; Lightning calls this on one process of a node."""
        if mnist_files.find(self.data_dir) is None:
            mnist_files.download(self.data_dir)

    def load_training(self) -> tuple[Split, Split | None]:
        """Return the training examples and those held out, in the order of a permutation."""
        images, labels = self._read("train")
        order = self._training_order()
        train, held_out = order.tensor_split([len(order) - self.validation])
        return (
            _split(images, labels, train),
            _split(images, labels, held_out) if len(held_out) else None,
        )

    def load_test(self) -> Split:
        """Return the 10,000 test examples."""
        return _split(*self._read("t10k"))

    def _training_order(self) -> Tensor:
        order = torch.from_numpy(np.random.default_rng(self.split_seed).permutation(_SIZE))
        middle = _SIZE // 2
        return {None: order, 1: order[:middle], 2: order[middle:]}[self.half]

    def _read(self, part: str) -> tuple[Tensor, Tensor]:
        paths = mnist_files.require(self.data_dir)
        images, labels = f"{part}-images-idx3-ubyte", f"{part}-labels-idx1-ubyte"
        return mnist_files.read(images, paths[images]), mnist_files.read(labels, paths[labels])


def _split(images: Tensor, labels: Tensor, indices: Tensor | None = None) -> Split:
    # Indexed as bytes: the float32 tensor is the only one of its size.
    if indices is not None:
        images, labels = images[indices], labels[indices]
    return Split(images.unsqueeze(1).float().div_(255), labels.long())
