"""Digits pasted on photographs, and which pixels are the digit's: a segmentation."""

import functools
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from lit_intriguing.argument_types import checked_arguments
from lit_intriguing.data.mnist import MNIST
from lit_intriguing.data.run import checked_sizes
from lit_intriguing.data.tensor_module import Split, TensorDataModule
from lit_intriguing.errors import UserError

Part = Literal["train", "validation", "test"]
SHARES: dict[Part, tuple[float, float]] = {
    "train": (0.0, 0.6),
    "validation": (0.6, 0.8),
    "test": (0.8, 1.0),
}
"""From which columns of a photograph each part takes its backgrounds, as shares of the width."""

_INK = 0.5
"""Of a digit's ink, what makes a pixel one of the digit."""

_SEEDS: dict[Part, int] = {"train": 0, "validation": 1, "test": 2}


@checked_arguments
class DigitsOnPhotographs(TensorDataModule):
    """Handwritten digits pasted on parts of photographs, and which pixels are the digit's.

    Batches are `(images, masks)`: images `(n, 3, size, size)`, float32, pixels in [0, 1]; masks
    `(n, size, size)`, int64, 0 for the photograph and 1 for the digit. Each digit is scaled, and
    pasted at a random place in a random colour. The photographs are the two that come with
    scikit-learn (`load_sample_images`), at half their size; training, validation and test take
    their backgrounds from different parts of them, and their digits from different examples. The
    images are the same for every run with one `split_seed`.

    Args:
        digits: Data module of the digits; None for MNIST. `lit_intriguing.data.Digits` needs no
            download.
        examples: Training images; at most as many as there are digits.
        test: Test images, likewise.
        validation: Images for validation, from training digits that are left; 0 for none.
        which: Whether the pixels of the digit d are of class 1 + d, which is much harder.
        size: Height and width of an image.
        digit_size: Height and width of a digit.
        batch_size: Examples in a training batch, per process.
        eval_batch_size: Examples in a batch of validation, test and prediction, per process.
        drop_last: Leave out the training examples of an epoch that do not fill a batch.
        seed: Seed of the order of the training examples; None for the run's own.
        split_seed: Seed of places, colours and backgrounds.

    Raises:
        UserError: For an argument out of range, or more images than digits.
    """

    def __init__(
        self,
        digits: TensorDataModule | None = None,
        examples: int = 2000,
        test: int = 500,
        validation: int = 0,
        which: bool = False,
        size: int = 24,
        digit_size: int = 18,
        batch_size: int = 64,
        eval_batch_size: int = 500,
        drop_last: bool = False,
        seed: int | None = None,
        split_seed: int = 0,
    ) -> None:
        super().__init__(batch_size, eval_batch_size, drop_last, seed)
        checked_sizes(examples=examples, test=test, digit_size=digit_size)
        if validation < 0:
            raise UserError(f"validation must not be negative: {validation}")
        if not digit_size <= size <= 60:
            raise UserError(
                f"size must be from the digits' {digit_size} to 60, the part of a photograph that "
                f"is kept for the test, not {size}"
            )
        self.which = which
        self.digits = MNIST() if digits is None else digits
        self.examples, self.test, self.validation = examples, test, validation
        self.size, self.digit_size, self.split_seed = size, digit_size, split_seed

    def prepare_data(self) -> None:
        """Download missing digits."""
        self.digits.prepare_data()

    def load_training(self) -> tuple[Split, Split | None]:
        """Return the training examples and those held out for validation."""
        source, _ = self.digits.load_training()
        self._check(len(source.labels), self.examples + self.validation, "training")
        used = slice(0, self.examples)
        held_out = slice(self.examples, self.examples + self.validation)
        train = self._pasted(source, used, "train")
        return train, self._pasted(source, held_out, "validation") if self.validation else None

    def load_test(self) -> Split:
        """Return the test examples."""
        source = self.digits.load_test()
        self._check(len(source.labels), self.test, "test")
        return self._pasted(source, slice(0, self.test), "test")

    def _check(self, there: int, wanted: int, part: str) -> None:
        if wanted > there:
            raise UserError(
                f"{wanted} images for {part} need as many digits, and {type(self.digits).__name__} "
                f"has {there}: ask for fewer (`examples`, `validation`, `test`)"
            )

    def _pasted(self, source: Split, rows: slice, part: Part) -> Split:
        """Return images and masks of some digits."""
        generator = torch.Generator().manual_seed(10 * self.split_seed + _SEEDS[part])
        labels = source.labels[rows]
        ink = self._placed(source.inputs[rows], generator)
        colours = torch.rand(len(labels), 3, 1, 1, generator=generator)
        under = torch.stack([self._background(part, generator) for _ in range(len(labels))])
        images = ink * colours + (1 - ink) * under
        classes = 1 + labels if self.which else torch.ones_like(labels)
        masks = (ink.squeeze(1) > _INK) * classes[:, None, None]
        return Split(images, masks)

    def _placed(self, digits: Tensor, generator: torch.Generator) -> Tensor:
        """Return each digit's ink `(N, 1, size, size)`, in [0, 1], scaled and at a random place."""
        side = (self.digit_size, self.digit_size)
        scaled = F.interpolate(digits, side, mode="bilinear", antialias=True).clamp(0, 1)
        free = self.size - self.digit_size
        corners = torch.randint(free + 1, (len(digits), 2), generator=generator).tolist()
        placed = [
            F.pad(one, (left, free - left, top, free - top))
            for one, (top, left) in zip(scaled, corners, strict=True)
        ]
        return torch.stack(placed)

    def _background(self, part: Part, generator: torch.Generator) -> Tensor:
        """Return a part of a photograph, `(3, size, size)`."""
        photographs = _photographs()
        number = int(torch.randint(len(photographs), (), generator=generator))
        height, width = photographs[number].shape[1:]
        first, end = (int(share * width) for share in SHARES[part])
        top = int(torch.randint(height - self.size + 1, (), generator=generator))
        left = first + int(torch.randint(end - first - self.size + 1, (), generator=generator))
        return photographs[number][:, top : top + self.size, left : left + self.size]


@functools.cache
def _photographs() -> list[Tensor]:
    """Return scikit-learn's photographs at half their size, `(3, 213, 320)`, in [0, 1]."""
    from sklearn.datasets import load_sample_images

    images = [torch.tensor(one).permute(2, 0, 1) / 255 for one in load_sample_images().images]
    halved = [F.interpolate(one[None], scale_factor=0.5, mode="area")[0] for one in images]
    return [one.clamp(0, 1) for one in halved]
