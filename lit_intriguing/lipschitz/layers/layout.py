"""Constants of layers that put numbers elsewhere and change none."""

from torch import nn

from lit_intriguing.lipschitz.norm import ONE, Norm
from lit_intriguing.lipschitz.registry import Shape, register_norm


@register_norm(nn.Flatten, nn.Unflatten, nn.ChannelShuffle, nn.PixelShuffle, nn.PixelUnshuffle)
def one(module: nn.Module, shape: Shape | None) -> Norm:
    """Each number stays itself."""
    return ONE
