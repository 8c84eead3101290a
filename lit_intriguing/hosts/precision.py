"""The model under the Trainer's precision, for attacks that have their own."""

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.plugins.precision import Precision
from torch import Tensor, nn

from lit_intriguing.private.of_lightning import same_class_for


class InPrecision(nn.Module):
    """A model whose logits are computed as by the Trainer and returned in at least float32.

    The arithmetic of an attack stays outside, in the precision of the images. Layers have their
    usual names.

    Args:
        model: Maps images `(N, *S)` to logits `(N, C)`.
        plugin: The Trainer's precision.
    """

    def __init__(self, model: nn.Module, plugin: Precision) -> None:
        super().__init__()
        self.model, self.plugin = model, plugin

    def get_submodule(self, target: str) -> nn.Module:
        """Return the model's own submodule."""
        return self.model.get_submodule(target)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits `(N, C)` of images `(N, *S)`."""
        with self.plugin.forward_context():
            logits: Tensor = self.model(self.plugin.convert_input(x))
        return logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits


def in_precision(model: nn.Module, plugin: Precision) -> nn.Module:
    """Return the model under a precision; the model itself where that changes nothing."""
    plain = type(plugin) is same_class_for(plugin, Precision)
    return model if plain else InPrecision(model, plugin)


def unscaled(trainer: Trainer, loss: Tensor) -> Tensor:
    """Return the loss that a callback gets before the backward pass as the module gave it.

    Lightning has multiplied it by the scale of 16-bit mixed precision by then.
    """
    scaler = getattr(trainer.precision_plugin, "scaler", None)
    return loss if scaler is None else loss / scaler.get_scale()


def at_least_single(images: Tensor) -> Tensor:
    """Return images in single precision where they come in half: an attack needs finer steps."""
    return images.float() if images.dtype in (torch.float16, torch.bfloat16) else images
