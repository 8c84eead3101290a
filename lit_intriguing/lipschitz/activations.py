"""Constants of activations; those without a weight."""

from torch import nn

from lit_intriguing.lipschitz.norm import ONE, Norm
from lit_intriguing.lipschitz.norms import Shape, register_norm


@register_norm(nn.ReLU, nn.Tanh, nn.Identity, nn.Flatten)
def one(module: nn.Module, shape: Shape | None) -> Norm:
    """Neither stretches anything: slopes of at most 1, reached."""
    return ONE
