"""Normalisation of pixels within the model, so that its input stays in [0, 1]."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lit_intriguing.errors import UserError


class PixelNormalisation(nn.Module):
    """The map `(x - mean) / std` of images `(N, C, H, W)`, channel by channel.

    Args:
        mean: Of each channel, or one number for all.
        std: Likewise, above 0.

    Raises:
        UserError: For numbers of channels that differ, or a `std` that is not above 0.

    Examples:
        >>> PixelNormalisation([0.5], [0.25])(torch.ones(1, 3, 1, 1)).flatten().tolist()
        [2.0, 2.0, 2.0]
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        if len(mean) != len(std) or not mean or min(std) <= 0:
            raise UserError(
                f"mean {list(mean)} and std {list(std)} need one number for each channel, or one "
                "for all; std above 0"
            )
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).view(-1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalised images, of the same shape."""
        return (x - self.mean) / self.std

    def extra_repr(self) -> str:
        """Return the numbers, for `print`."""
        return f"mean={self.mean.flatten().tolist()}, std={self.std.flatten().tolist()}"
