"""Networks on which attacks differ: with normalisation layers, and one without."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

Norm = Callable[[int], nn.Module]
"""Makes the normalisation of so many channels."""


def group_norm(channels: int) -> nn.Module:
    """Return a normalisation of four groups."""
    return nn.GroupNorm(4, channels)


def lenet(normalised: bool) -> nn.Module:
    """Return LeNet with ReLUs and max pooling, with BatchNorm before each ReLU or without."""

    def norm(layer: type[nn.Module], channels: int) -> list[nn.Module]:
        return [layer(channels)] if normalised else []

    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), *norm(nn.BatchNorm2d, 6), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5), *norm(nn.BatchNorm2d, 16), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(400, 120), *norm(nn.BatchNorm1d, 120), nn.ReLU(),
        nn.Linear(120, 84), *norm(nn.BatchNorm1d, 84), nn.ReLU(), nn.Linear(84, 10),
    )  # fmt: skip


class Residual(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut (He et al. 2016, figure 2)."""

    def __init__(self, channels: tuple[int, int], stride: int, norm: Norm) -> None:
        super().__init__()
        first, last = channels
        self.branch = nn.Sequential(
            nn.Conv2d(first, last, 3, stride, 1, bias=False), norm(last), nn.ReLU(),
            nn.Conv2d(last, last, 3, 1, 1, bias=False), norm(last),
        )  # fmt: skip
        self.shortcut = nn.Sequential(nn.Conv2d(first, last, 1, stride, bias=False), norm(last))

    def forward(self, x: Tensor) -> Tensor:
        """Return images of `last` channels."""
        return F.relu(self.branch(x) + self.shortcut(x))


def resnet(norm: Norm) -> nn.Module:
    """Return a residual network of three blocks."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, 2, 1, bias=False), norm(8), nn.ReLU(),
        Residual((8, 8), 1, norm), Residual((8, 16), 2, norm), Residual((16, 24), 2, norm),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(24, 10),
    )  # fmt: skip


class VisionTransformer(nn.Module):
    """Two layers of attention over 16 patches of 7 x 7 (Dosovitskiy et al. 2021)."""

    def __init__(self, width: int = 48) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, width, 7, 7)
        self.positions = nn.Parameter(0.02 * torch.randn(1, 16, width))
        layer = nn.TransformerEncoderLayer(
            width, 4, 2 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 10))

    def forward(self, x: Tensor) -> Tensor:
        """Return logits `(N, 10)` of images `(N, 1, 28, 28)`."""
        tokens = self.patches(x).flatten(2).transpose(1, 2) + self.positions
        logits: Tensor = self.head(self.layers(tokens).mean(1))
        return logits
