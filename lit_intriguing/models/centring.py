"""The mean training input subtracted within the model, so that its input stays in pixels."""

from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn

from lit_intriguing.errors import UserError


class Centring(nn.Module):
    """The map `x - mean` of inputs `(N, features)`, with a fixed mean that is not trained.

    The same functions are reached without it, as the mean moves into the bias of the first layer:
    what changes is the way there.

    Args:
        features: Of an input. The mean is zero until it is set.
    """

    mean: Tensor

    def __init__(self, features: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(features))

    def forward(self, x: Tensor) -> Tensor:
        """Return the centred inputs, of the same shape."""
        return x - self.mean

    def learn(self, module: LightningModule) -> None:
        """Take the mean from the data of the module's run, unless there is one already.

        A network that goes on with other data keeps the mean that its weights were trained with.

        Raises:
            UserError: If the data do not say it, or it has another number of features.
        """
        if self.mean.any():
            return
        mean = _mean_of(getattr(module.trainer, "datamodule", None)).flatten()
        if mean.shape != self.mean.shape:
            raise UserError(
                f"the data's mean has {len(mean)} features, the network takes {len(self.mean)}: "
                "set the first of the model's widths to the size of the data"
            )
        self.mean.copy_(mean)


def _mean_of(data: Any) -> Tensor:
    method = getattr(data, "mean_input", None)
    if not callable(method):
        raise UserError(
            "subtract_mean takes the mean of the training inputs from the data module's method "
            f"mean_input(), which {type(data).__name__ if data is not None else 'a loader'} has "
            "not: train with a data module that has one, such as "
            "lit_intriguing.data.MNIST, or leave subtract_mean out"
        )
    mean: Tensor = method()
    return mean
