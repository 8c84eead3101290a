"""A classifier on top of frozen features."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn

from lit_intriguing.data_folder import found_file
from lit_intriguing.errors import UserError
from lit_intriguing.models.described import shapes_that_differ
from lit_intriguing.models.quocnet.local_filters import materialise
from lit_intriguing.models.trained import Trained
from lit_intriguing.models.weights import read_checkpoint

_PREFIX = "network."


class FeatureClassifier(Trained):
    """A linear classifier on the frozen features of a network, such as the paper's car detector.

    Szegedy et al. 2013, section 3 and figure 6: a binary classifier of cars on the features of
    QuocNet (Le et al. 2012). One class against the rest is the data's matter (`binary` of
    `ImageFolder`). Its parts are the submodules `features`, whose weights stay as they are,
    `standardise` (mean 0, variance 1 of each feature, measured in training) and `output` (logits).
    Logs `train/loss`, `train/batch_error`, `val/error` and `test/error` as `Classifier` does.

    Args:
        features: Module from images `(N, C, H, W)` to features of any shape, such as a `QuocNet`.
        encoder: Checkpoint with the weights of `features`, of `ReconstructionTICA` or of any module
            whose submodule `network` is such a one, also within `$LIT_INTRIGUING_DATA` (null: the
            weights it was made with; random filters).
        classes: Number of logits.
        class_weights: How much an example of each class counts in the loss, divided by the weights
            of the batch (null: all alike).
        optimizer: Makes the optimiser of the classifier. Its `weight_decay` acts on weights alone.
        scheduler: Makes the schedule of the learning rate, as for `Classifier`.
        scheduler_interval: "step" or "epoch": when the schedule moves on.

    Raises:
        UserError: For options out of range, an encoder that is missing or of another shape; before
            a run, for images or classes of the data that do not fit.
    """

    only_at_start = ("encoder",)

    def __init__(
        self,
        features: nn.Module,
        encoder: str | None = None,
        classes: int = 2,
        class_weights: Sequence[float] | None = None,
        optimizer: OptimizerCallable = torch.optim.Adam,
        scheduler: LRSchedulerCallable | None = None,
        scheduler_interval: str = "step",
    ) -> None:
        super().__init__(optimizer, scheduler, scheduler_interval)
        self.remember(features=features)
        if classes < 2:
            raise UserError(f"classes must be at least 2, not {classes}")
        if class_weights is not None and (len(class_weights) != classes or min(class_weights) <= 0):
            raise UserError(
                f"class_weights {list(class_weights)} must be one number above 0 for each of "
                f"{classes} classes"
            )
        self.class_weights = None if class_weights is None else list(class_weights)
        if encoder is not None:
            _load_encoder(features, encoder)
        self.features = features.requires_grad_(False)
        count = _count(features)
        self.standardise = nn.BatchNorm1d(count, affine=False)
        self.output = nn.Linear(count, classes)
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)
        self.add_error_metrics()

    def configure_model(self) -> None:
        """Give the filters of a QuocNet that was made on the device meta their values."""
        materialise(self.features)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits `(N, classes)` of images `(N, C, H, W)`."""
        logits: Tensor = self.output(self.standardise(self.features(x).flatten(1)))
        return logits

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Return the weighted mean cross-entropy of a batch."""
        x, y = batch
        logits = self(x)
        weights = None if self.class_weights is None else logits.new_tensor(self.class_weights)
        loss = nn.functional.cross_entropy(logits, y, weights)
        self.log_loss(loss, logits, y)
        return loss

    def on_train_epoch_start(self) -> None:
        """Keep the frozen features in evaluation; not before, where Lightning would warn of it."""
        self.features.eval()


def _count(features: nn.Module) -> int:
    """Return the number of features of an image, as the network says."""
    shape = getattr(features, "feature_shape", None)
    if shape is None:
        raise UserError(
            f"{type(features).__name__} does not say the shape of its features: give it an "
            "attribute `feature_shape`, as QuocNet has, without the batch's dimension"
        )
    return torch.Size(shape).numel()


def _load_encoder(features: nn.Module, encoder: str) -> None:
    path = found_file(encoder)
    state = _encoder_state(path, encoder)
    differ = shapes_that_differ(features, state, features.state_dict())
    odd = sorted(features.state_dict().keys() ^ state.keys())
    if differ or odd:
        what = differ[0] if differ else f"only one of them has {odd[0]}"
        raise UserError(
            f"the encoder '{encoder}' does not fit the classifier's features: {what}. Give the "
            "features the options with which the encoder was trained"
        )
    features.load_state_dict(state)


def _encoder_state(path: Path, encoder: str) -> dict[str, Any]:
    if not path.exists():
        raise UserError(
            f"no checkpoint '{encoder}' to take the features from: train a ReconstructionTICA "
            "first, or name its checkpoint as the model's `encoder`"
        )
    state = read_checkpoint(path).get("state_dict", {})
    found = {
        name.removeprefix(_PREFIX): one for name, one in state.items() if name.startswith(_PREFIX)
    }
    if not found:
        raise UserError(
            f"'{encoder}' holds no module with a submodule `network`: name a checkpoint of "
            "ReconstructionTICA"
        )
    return found
