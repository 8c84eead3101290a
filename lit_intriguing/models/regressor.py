"""A fully connected network for numbers in place of classes."""

from collections.abc import Callable, Mapping, Sequence

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn
from torchmetrics import MeanSquaredError, Metric, R2Score

from lit_intriguing.errors import UserError
from lit_intriguing.models.optimised import Optimised


class Regressor(Optimised):
    """A fully connected network trained by the mean squared error.

    Its layers are the submodules `hidden1`, `hidden2`, ... (linear map and activation), `output`.
    Logs `train/loss` every `log_every_n_steps` steps of the Trainer, and once an epoch `val/rmse`
    and `test/rmse`, the root mean squared error, and `val/r2` and `test/r2`, the explained share of
    the variance (both over all examples of the split, in units of the targets as the data give
    them).

    Args:
        widths: Units from the features to the targets.
        activation: Makes the activation of a hidden layer.
        optimizer: Makes the optimiser; its `weight_decay` acts on weights of more than one axis.
        scheduler: Makes the schedule of the learning rate, such as `CosineOverRun`.
        scheduler_interval: "step" or "epoch": when the schedule moves on.

    Raises:
        UserError: For fewer than two widths, or a width below 1; in `forward`, for inputs of
            another number of features.
    """

    monitor = "val/rmse"

    def __init__(
        self,
        widths: Sequence[int] = (10, 32, 32, 1),
        activation: Callable[[], nn.Module] = nn.ReLU,
        optimizer: OptimizerCallable = torch.optim.Adam,
        scheduler: LRSchedulerCallable | None = None,
        scheduler_interval: str = "step",
    ) -> None:
        super().__init__(optimizer, scheduler, scheduler_interval)
        self.remember()
        if len(widths) < 2 or min(widths) < 1:
            raise UserError(f"widths must be two or more numbers above 0, not {list(widths)}")
        self.widths = list(widths)
        pairs = list(zip(self.widths, self.widths[1:], strict=False))
        for i, (before, after) in enumerate(pairs[:-1], 1):
            hidden = nn.Sequential(nn.Linear(before, after), activation())
            self.add_module(f"hidden{i}", hidden)
        self.output = nn.Linear(*pairs[-1])
        self.val_rmse, self.test_rmse = (MeanSquaredError(squared=False) for _ in range(2))
        self.val_r2, self.test_r2 = R2Score(), R2Score()

    def forward(self, x: Tensor) -> Tensor:
        """Return predictions `(N, targets)` of features `(N, features)`."""
        if x.shape[1:] != (self.widths[0],):
            raise UserError(
                f"the inputs have shape {tuple(x.shape[1:])}, the network takes {self.widths[0]} "
                "features: set the first of the model's widths to the size of the data"
            )
        for i in range(1, len(self.widths) - 1):
            x = self.get_submodule(f"hidden{i}")(x)
        predictions: Tensor = self.output(x)
        return predictions

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Return the mean squared error of features and targets, `(N, targets)`."""
        x, y = batch
        loss = nn.functional.mse_loss(self(x), y)
        if self.writes_now():
            self.log("train/loss", loss.detach(), prog_bar=True)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Compare the predictions of a batch with its targets."""
        self._count({"val/rmse": self.val_rmse, "val/r2": self.val_r2}, batch)

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Compare the predictions of a batch with its targets."""
        self._count({"test/rmse": self.test_rmse, "test/r2": self.test_r2}, batch)

    def predict_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Return the predictions `(N, targets)` of a batch."""
        predictions: Tensor = self(batch[0])
        return predictions

    def _count(self, metrics: Mapping[str, Metric], batch: tuple[Tensor, Tensor]) -> None:
        x, y = batch
        predictions = self(x)
        for name, metric in metrics.items():
            metric.update(predictions, y)
            self.log(name, metric, on_step=False, on_epoch=True, prog_bar=True)
