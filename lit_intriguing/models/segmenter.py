"""Any network that gives a class of each pixel, trained from the command line."""

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn
from torchmetrics.classification import MulticlassJaccardIndex

from lit_intriguing.metrics import ErrorRate
from lit_intriguing.models.optimised import Optimised


class Segmenter(Optimised):
    """Any network with logits for each pixel, trained by the mean cross-entropy of the pixels.

    Logs `train/loss` every `log_every_n_steps` steps of the Trainer, and once an epoch
    `val/pixel_error` and `test/pixel_error`, the fraction of wrong pixels, and `val/iou_error` and
    `test/iou_error`: 1 minus the mean over the classes of intersection over union (Jaccard index),
    over all pixels of the split.

    Args:
        network: The module, whose `forward` gives logits `(N, C, H, W)`.
        classes: Their number, C, the background among them.
        optimizer: Makes the optimiser; its `weight_decay` acts on weights of more than one axis.
        scheduler: Makes the schedule of the learning rate, such as `CosineOverRun`.
        scheduler_interval: "step" or "epoch": when the schedule moves on.
    """

    monitor = "val/iou_error"

    def __init__(
        self,
        network: nn.Module,
        classes: int = 2,
        optimizer: OptimizerCallable = torch.optim.Adam,
        scheduler: LRSchedulerCallable | None = None,
        scheduler_interval: str = "step",
    ) -> None:
        super().__init__(optimizer, scheduler, scheduler_interval)
        self.remember(network=network)
        self.network = network
        self.val_error, self.test_error = ErrorRate(), ErrorRate()
        self.val_iou, self.test_iou = (MulticlassJaccardIndex(classes) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        """Return logits `(N, C, H, W)` of images `(N, channels, H, W)`."""
        logits: Tensor = self.network(x)
        return logits

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Return the mean cross-entropy of images and masks `(N, H, W)`."""
        x, masks = batch
        loss = nn.functional.cross_entropy(self(x), masks)
        if self.writes_now():
            self.log("train/loss", loss.detach(), prog_bar=True)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Compare the predictions of a batch with its masks."""
        self._count("val", self.val_error, self.val_iou, batch)

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Compare the predictions of a batch with its masks."""
        self._count("test", self.test_error, self.test_iou, batch)

    def predict_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Return the predicted class of each pixel, `(N, H, W)`."""
        logits: Tensor = self(batch[0])
        return logits.argmax(1)

    def on_validation_epoch_end(self) -> None:
        """Log the intersection over union."""
        self._log_iou("val", self.val_iou)

    def on_test_epoch_end(self) -> None:
        """Log the intersection over union."""
        self._log_iou("test", self.test_iou)

    def _count(
        self,
        split: str,
        error: ErrorRate,
        iou: MulticlassJaccardIndex,
        batch: tuple[Tensor, Tensor],
    ) -> None:
        x, masks = batch
        logits = self(x)
        error.update(logits.movedim(1, -1).flatten(0, -2), masks.flatten())
        iou.update(logits.argmax(1), masks)
        self.log(f"{split}/pixel_error", error, on_step=False, on_epoch=True)

    def _log_iou(self, split: str, iou: MulticlassJaccardIndex) -> None:
        self.log(f"{split}/iou_error", 1 - iou.compute(), prog_bar=True)
        iou.reset()
