"""Upper bounds of Lipschitz constants (L2): of a layer, of a network, and what they certify."""

from lit_intriguing.lipschitz import (  # noqa: F401  they register their rules
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
from lit_intriguing.lipschitz.norm import Kind, Norm
from lit_intriguing.lipschitz.norms import CannotBoundError, operator_norm, register_norm

__all__ = ["CannotBoundError", "Kind", "Norm", "operator_norm", "register_norm"]
