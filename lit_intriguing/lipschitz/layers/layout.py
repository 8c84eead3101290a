"""Constants of layers that move values and change none."""

from torch import nn

from lit_intriguing.lipschitz.norm import ONE, Norm
from lit_intriguing.lipschitz.registry import Shape, register_norm


@register_norm(nn.Flatten, nn.Unflatten, nn.ChannelShuffle, nn.PixelShuffle, nn.PixelUnshuffle)
def one(module: nn.Module, shape: Shape | None) -> Norm:
    """Return 1: each number stays itself."""
    return ONE
