"""A tiny transformer for classes of texts."""

import math
from collections.abc import Mapping

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn

from lit_intriguing.errors import UserError
from lit_intriguing.metrics import ErrorRate
from lit_intriguing.models.optimised import Optimised


class TextClassifier(Optimised):
    """A transformer encoder over tokens, the mean of whose outputs is classified.

    Batches are mappings with `input_ids` `(N, T)`, int64, `attention_mask` `(N, T)`, 1 for tokens
    and 0 for padding, and `labels` `(N,)`. Its parts are the submodules `embedding` (of the tokens,
    without their places), `encoder` and `output`. Logs `train/loss` every `log_every_n_steps` steps
    of the Trainer, and once an epoch `val/error` and `test/error`, fractions of wrong predictions.

    Args:
        tokens: Size of the vocabulary.
        classes: Number of classes.
        length: Tokens of the longest text.
        width: Of the embedding.
        layers: Of the encoder, each with normalisation first (Xiong et al. 2020).
        heads: Of the attention; they divide the width.
        dropout: Share of units that are switched off in training.
        optimizer: Makes the optimiser; its `weight_decay` acts on weights of more than one axis.
        scheduler: Makes the schedule of the learning rate, such as `CosineOverRun`.
        scheduler_interval: "step" or "epoch": when the schedule moves on.

    Raises:
        UserError: For heads that do not divide the width; in a step, for longer texts, or tokens
            that are not in the vocabulary.
    """

    def __init__(
        self,
        tokens: int = 79,
        classes: int = 10,
        length: int = 32,
        width: int = 64,
        layers: int = 2,
        heads: int = 4,
        dropout: float = 0.1,
        optimizer: OptimizerCallable = torch.optim.Adam,
        scheduler: LRSchedulerCallable | None = None,
        scheduler_interval: str = "step",
    ) -> None:
        super().__init__(optimizer, scheduler, scheduler_interval)
        self.remember()
        if heads < 1 or width % heads:
            raise UserError(f"{heads} heads do not divide a width of {width}")
        self.embedding = nn.Embedding(tokens, width)
        self.places = nn.Parameter(_waves(length, width))
        layer = nn.TransformerEncoderLayer(
            width, heads, 2 * width, dropout, batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.output = nn.Linear(width, classes)
        self.val_error, self.test_error = ErrorRate(), ErrorRate()

    def logits(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Return logits `(N, classes)` of a batch of texts."""
        ids, mask = batch["input_ids"], batch["attention_mask"].bool()
        self._check(ids)
        hidden = self.embedding(ids) + self.places[: ids.shape[1]]
        hidden = self.encoder(hidden, src_key_padding_mask=~mask)
        shares = mask.unsqueeze(2) / mask.sum(1).clamp(min=1)[:, None, None]
        logits: Tensor = self.output((hidden * shares).sum(1))
        return logits

    def training_step(self, batch: Mapping[str, Tensor], batch_idx: int) -> Tensor:
        """Return the mean cross-entropy of a batch."""
        loss = nn.functional.cross_entropy(self.logits(batch), batch["labels"])
        if self.writes_now():
            self.log("train/loss", loss.detach(), prog_bar=True)
        return loss

    def validation_step(self, batch: Mapping[str, Tensor], batch_idx: int) -> None:
        """Count the wrong predictions of a batch."""
        self._count("val/error", self.val_error, batch)

    def test_step(self, batch: Mapping[str, Tensor], batch_idx: int) -> None:
        """Count the wrong predictions of a batch."""
        self._count("test/error", self.test_error, batch)

    def predict_step(self, batch: Mapping[str, Tensor], batch_idx: int) -> Tensor:
        """Return the predicted class `(N,)` of each text."""
        return self.logits(batch).argmax(1)

    def _count(self, name: str, metric: ErrorRate, batch: Mapping[str, Tensor]) -> None:
        labels = batch["labels"]
        metric.update(self.logits(batch), labels)
        self.log(name, metric, on_step=False, on_epoch=True, prog_bar=True, batch_size=len(labels))

    def _check(self, ids: Tensor) -> None:
        longest, tokens = len(self.places), self.embedding.num_embeddings
        if ids.shape[1] > longest:
            raise UserError(
                f"the texts have {ids.shape[1]} tokens, the model takes {longest}: set the model's "
                "`length` to that of the data"
            )
        if int(ids.max()) >= tokens:
            raise UserError(
                f"the texts hold token {int(ids.max())}, the model has {tokens}: set the model's "
                "`tokens` to the size of the data's vocabulary"
            )


def _waves(length: int, width: int) -> Tensor:
    """Return sines and cosines of the places, `(length, width)` (Vaswani et al. 2017, 3.5)."""
    rates = torch.exp(torch.arange(0, width, 2) * (-math.log(10_000) / width))
    angles = torch.arange(length).unsqueeze(1) * rates
    return torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1)[:, :width]
