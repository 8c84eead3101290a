"""Constants of layers: a file for each kind, which registers its rules by type."""

from lit_intriguing.lipschitz.layers import (
    activations,
    convolution,
    layout,
    linear,
    normalisation,
    padding,
    pooling,
    resampling,
    softmax,
    unfolding,
)

__all__ = [
    "activations",
    "convolution",
    "layout",
    "linear",
    "normalisation",
    "padding",
    "pooling",
    "resampling",
    "softmax",
    "unfolding",
]
