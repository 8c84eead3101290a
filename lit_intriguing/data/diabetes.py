"""The diabetes data that come with scikit-learn: a regression without a download."""

import torch
from torch import Tensor

from lit_intriguing.argument_types import checked_arguments
from lit_intriguing.data.tensor_module import Split, TensorDataModule
from lit_intriguing.errors import UserError

_SIZE = 442


@checked_arguments
class Diabetes(TensorDataModule):
    """442 patients: ten measurements, and how far diabetes has gone on a year later.

    The data of Efron et al. 2004, "Least angle regression", section 1. Batches are
    `(features, targets)`: features `(n, 10)` and targets `(n, 1)`, float32, each less its mean over
    the training examples and divided by its standard deviation there. So an RMSE of 1 is that of
    the training mean.

    Args:
        batch_size: Examples in a training batch, per process.
        eval_batch_size: Examples in a batch of validation, test and prediction, per process.
        test: Examples held out for the test.
        validation: Examples held out for validation; 0 for none.
        drop_last: Leave out the training examples of an epoch that do not fill a batch.
        seed: Seed of the order of the training examples; None for the run's own.
        split_seed: Seed of the division into parts.

    Raises:
        UserError: For an argument out of range.
    """

    def __init__(
        self,
        batch_size: int = 32,
        eval_batch_size: int = 1000,
        test: int = 110,
        validation: int = 0,
        drop_last: bool = False,
        seed: int | None = None,
        split_seed: int = 0,
    ) -> None:
        super().__init__(batch_size, eval_batch_size, drop_last, seed)
        if test < 2 or validation < 0 or validation == 1 or test + validation > _SIZE - 2:
            raise UserError(
                f"test {test} and validation {validation} must have at least two of the {_SIZE} "
                "examples each, validation also none, and leave two to train on"
            )
        self.test, self.validation, self.split_seed = test, validation, split_seed

    def load_training(self) -> tuple[Split, Split | None]:
        """Return the training examples and those held out for validation."""
        training, held_out, _ = self._parts()
        return training, held_out if len(held_out.labels) else None

    def load_test(self) -> Split:
        """Return the test examples."""
        return self._parts()[2]

    def _parts(self) -> tuple[Split, Split, Split]:
        from sklearn.datasets import load_diabetes

        features, targets = load_diabetes(return_X_y=True, scaled=False)
        columns = torch.tensor(features), torch.tensor(targets).unsqueeze(1)
        order = torch.randperm(_SIZE, generator=torch.Generator().manual_seed(self.split_seed))
        # The test part does not depend on how many are held out for validation.
        test, held_out, train = order.tensor_split([self.test, self.test + self.validation])
        scaled = [_scaled(one, train) for one in columns]
        training, validation, tested = (
            Split(*(one[part] for one in scaled)) for part in (train, held_out, test)
        )
        return training, validation, tested


def _scaled(column: Tensor, train: Tensor) -> Tensor:
    """Return columns `(N, D)` in standard deviations from the mean of some rows, float32."""
    known = column[train]
    return ((column - known.mean(0)) / known.std(0)).float()
