"""The small digits that come with scikit-learn: a stand-in for MNIST without a download."""

import torch
from torch import Tensor

from lit_intriguing.argument_types import checked_arguments
from lit_intriguing.data.tensor_module import Split, TensorDataModule
from lit_intriguing.errors import UserError

_SIZE = 1_797
_CLASSES = 10


@checked_arguments
class Digits(TensorDataModule):
    """1,797 handwritten digits of 8x8, divided into training, validation and test examples.

    Batches are `(images, labels)`: images `(n, 1, 8, 8)`, float32, pixels in [0, 1]; labels `(n,)`,
    int64. Each part has the ten digits in the same shares. `batch_size` is per process.

    Args:
        batch_size: Examples in a training batch, per process.
        eval_batch_size: Examples in a batch of validation, test and prediction, per process.
        test: Examples held out for the test.
        validation: Examples held out for validation; 0 for none.
        drop_last: Leave out the training examples of an epoch that do not fill a batch.
        seed: Seed of the order of the training examples; None for the run's own
            (`seed_everything`).
        split_seed: Seed of the division into parts.

    Raises:
        UserError: For an argument out of range (a part needs at least one example of each digit).
    """

    def __init__(
        self,
        batch_size: int = 64,
        eval_batch_size: int = 1000,
        test: int = 360,
        validation: int = 0,
        drop_last: bool = False,
        seed: int | None = None,
        split_seed: int = 0,
    ) -> None:
        super().__init__(batch_size, eval_batch_size, drop_last, seed)
        sizes = {"test": test, "validation": validation}
        for name, size in sizes.items():
            if size < _CLASSES and not (name == "validation" and size == 0):
                raise UserError(
                    f"{name} needs at least {_CLASSES} examples, one a digit, not {size}"
                )
        if test + validation > _SIZE - _CLASSES:
            raise UserError(
                f"test {test} and validation {validation} leave too few of the {_SIZE} examples"
            )
        if split_seed < 0:
            raise UserError(f"split_seed must not be negative: {split_seed}")
        self.test = test
        self.validation = validation
        self.split_seed = split_seed

    def load_training(self) -> tuple[Split, Split | None]:
        """Return the training examples and those held out for validation."""
        training, held_out, _ = self._parts()
        return training, held_out

    def load_test(self) -> Split:
        """Return the test examples."""
        return self._parts()[2]

    def _parts(self) -> tuple[Split, Split | None, Split]:
        from sklearn.datasets import load_digits

        digits = load_digits()
        images = torch.from_numpy(digits.images).float().div_(16).unsqueeze(1)
        labels = torch.from_numpy(digits.target).long()
        rest, test = self._divide(torch.arange(_SIZE), labels, self.test)
        train, held_out = (
            self._divide(rest, labels, self.validation) if self.validation else (rest, None)
        )
        return (
            Split(images[train], labels[train]),
            None if held_out is None else Split(images[held_out], labels[held_out]),
            Split(images[test], labels[test]),
        )

    def _divide(self, indices: Tensor, labels: Tensor, size: int) -> tuple[Tensor, Tensor]:
        """Split `size` of the indices off, with equal shares of the classes; return rest first."""
        from sklearn.model_selection import train_test_split

        rest, taken = train_test_split(
            indices.numpy(),
            test_size=size,
            random_state=self.split_seed,
            stratify=labels[indices].numpy(),
        )
        return torch.from_numpy(rest), torch.from_numpy(taken)
