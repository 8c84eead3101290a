"""A small U-Net, for a class of each pixel of small images."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lit_intriguing.errors import UserError


class SmallUNet(nn.Module):
    """A U-Net (Ronneberger et al. 2015) with one convolution for each size, on the way down and up.

    Behind each convolution come batch normalisation and a ReLU. The way down is the submodules
    `down0`, `down1`, ..., each behind the first halving height and width; the way up is `up0`, ...,
    which get the doubled output of the one before beside that of the `down` of their size; `output`
    gives the logits.

    Args:
        channels: Of each size, the greatest first.
        classes: Number of logits of a pixel.
        image_channels: Of the images.

    Raises:
        UserError: For a number below 1; in `forward`, for images that cannot be halved so often.

    Examples:
        >>> SmallUNet()(torch.zeros(2, 3, 24, 24)).shape
        torch.Size([2, 2, 24, 24])
    """

    def __init__(
        self, channels: Sequence[int] = (8, 16, 32), classes: int = 2, image_channels: int = 3
    ) -> None:
        super().__init__()
        if not channels or min(*channels, classes, image_channels) < 1:
            raise UserError(
                f"SmallUNet needs at least one channel and class, not channels {list(channels)}, "
                f"classes {classes}, image_channels {image_channels}"
            )
        self.sizes, before = len(channels), image_channels
        for i, after in enumerate(channels):
            self.add_module(f"down{i}", _block(before, after, stride=1 if i == 0 else 2))
            before = after
        for i in reversed(range(len(channels) - 1)):
            self.add_module(f"up{i}", _block(before + channels[i], channels[i]))
            before = channels[i]
        self.output = nn.Conv2d(before, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits `(N, C, H, W)` of images `(N, image_channels, H, W)`."""
        factor = 2 ** (self.sizes - 1)
        if x.shape[2] % factor or x.shape[3] % factor:
            raise UserError(
                f"images of {x.shape[2]}x{x.shape[3]} cannot be halved {self.sizes - 1} times: "
                f"height and width must be multiples of {factor}"
            )
        passed = []
        for i in range(self.sizes):
            x = self.get_submodule(f"down{i}")(x)
            passed.append(x)
        for i in reversed(range(self.sizes - 1)):
            doubled = nn.functional.interpolate(x, scale_factor=2.0)
            x = self.get_submodule(f"up{i}")(torch.cat([doubled, passed[i]], dim=1))
        logits: Tensor = self.output(x)
        return logits


def _block(before: int, after: int, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(before, after, 3, stride=stride, padding=1)
    nn.init.kaiming_normal_(convolution.weight)
    return nn.Sequential(convolution, nn.BatchNorm2d(after), nn.ReLU())
