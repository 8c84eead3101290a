"""Any network for images, trained from the command line."""

from collections.abc import Sequence

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn

from lit_intriguing.errors import UserError
from lit_intriguing.metrics import ErrorRate
from lit_intriguing.models.heads import fit_head
from lit_intriguing.models.pixels import PixelNormalisation
from lit_intriguing.models.trained import Trained
from lit_intriguing.models.weights import load_file

_TOP = 5


class ImageClassifier(Trained):
    """Any network for images with pixels in [0, 1], trained by cross-entropy.

    Its parts are the submodules `normalise` and `network`, so that its layers are
    `network.features.0` and so on. The input is not normalised before: bounds and perturbations of
    the input are those of pixels. Logs `train/loss` every `log_every_n_steps` steps, `val/error`
    and `test/error` once an epoch, and with more than five classes `val/error_top5` and
    `test/error_top5`: the fraction of images whose class is not among the five most likely.

    Args:
        network: The module, whose `forward` gives logits `(N, C)`: on the command line the class
            path of any module, or of a function that returns one, such as
            `torchvision.models.resnet18` or `timm.create_model`.
        classes: Number of classes; a network with another number gets a fresh last layer, after
            its weights are loaded. If null, as many as the network has.
        mean: Mean of each channel, or one for all, which is subtracted within the model.
        std: By which the channels are then divided.
        weights: File of the network's weights, also within `$LIT_INTRIGUING_DATA`: a state dict, or
            a checkpoint whose `state_dict` has the network's own names.
        optimizer: Makes the optimiser of the parameters. Its `weight_decay` acts on weights of more
            than one axis alone, not on biases or normalisation layers.
        scheduler: Makes the schedule of the learning rate; one with `set_run_length`, such as
            `CosineOverRun`, gets the number of steps, or of epochs, of the run.
        scheduler_interval: "step" or "epoch": when the schedule moves on.
        label_smoothing: Share of each label that is spread over all classes, in training.

    Raises:
        UserError: For options out of range, or weights of another network; before a run, for images
            or classes of the data that do not fit the network.
    """

    only_at_start = ("weights",)

    def __init__(
        self,
        network: nn.Module,
        classes: int | None = None,
        mean: Sequence[float] = (0.0,),
        std: Sequence[float] = (1.0,),
        weights: str | None = None,
        optimizer: OptimizerCallable = torch.optim.Adam,
        scheduler: LRSchedulerCallable | None = None,
        scheduler_interval: str = "step",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(optimizer, scheduler, scheduler_interval)
        self.remember(network=network)
        if not 0 <= label_smoothing < 1:
            raise UserError(f"label_smoothing lies from 0 to below 1, not {label_smoothing}")
        self.label_smoothing = label_smoothing
        self.normalise = PixelNormalisation(mean, std)
        self.network = network
        load_file(network, weights)
        if classes is not None:
            fit_head(network, classes)
        self.add_error_metrics()
        if classes is None or classes > _TOP:
            self.val_error_top5 = ErrorRate(_TOP)
            self.test_error_top5 = ErrorRate(_TOP)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits `(N, C)` of images `(N, channels, height, width)`, pixels in [0, 1]."""
        logits: Tensor = self.network(self.normalise(x))
        return logits

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Return the mean cross-entropy of a batch."""
        x, y = batch
        logits = self(x)
        loss = nn.functional.cross_entropy(logits, y, label_smoothing=self.label_smoothing)
        self.log_loss(loss, logits, y)
        return loss

    def count(self, name: str, metric: ErrorRate, batch: tuple[Tensor, Tensor]) -> None:
        """Count the wrong predictions of a batch, by the most likely class and by five."""
        x, y = batch
        logits = self(x)
        self.log_error(name, metric, logits, y)
        if logits.shape[1] > _TOP:
            five = self.val_error_top5 if metric is self.val_error else self.test_error_top5
            self.log_error(f"{name}_top5", five, logits, y)
