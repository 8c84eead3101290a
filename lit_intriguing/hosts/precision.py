"""The model under the Trainer's precision, for attacks that keep their own."""

import torch
from lightning.pytorch.plugins.precision import Precision
from torch import Tensor, nn


class InPrecision(nn.Module):
    """Computes a model's logits as the Trainer would, and hands them back in at least float32.

    The search's own arithmetic stays outside, in the precision of the images. Layers keep their
    names.

    Args:
        model: Maps images to logits.
        plugin: The Trainer's precision.
    """

    def __init__(self, model: nn.Module, plugin: Precision) -> None:
        super().__init__()
        self.model, self.plugin = model, plugin

    def get_submodule(self, target: str) -> nn.Module:
        """The model's own submodule."""
        return self.model.get_submodule(target)

    def forward(self, x: Tensor) -> Tensor:
        """Logits `(N, C)` of images `(N, *S)`."""
        with self.plugin.forward_context():
            logits: Tensor = self.model(self.plugin.convert_input(x))
        return logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits


def in_precision(model: nn.Module, plugin: Precision) -> nn.Module:
    """Returns the model itself where the precision changes nothing."""
    return model if type(plugin) is Precision else InPrecision(model, plugin)


def at_least_single(images: Tensor) -> Tensor:
    """Images in single precision where they come in half: an attack needs finer steps."""
    return images.float() if images.dtype in (torch.float16, torch.bfloat16) else images
