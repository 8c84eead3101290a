"""Upper bounds of Lipschitz constants (L2): of a layer, of a network, and what they certify."""

from lit_intriguing.lipschitz import activations  # noqa: F401  registers its rules
from lit_intriguing.lipschitz.norm import Kind, Norm
from lit_intriguing.lipschitz.norms import CannotBoundError, operator_norm, register_norm

__all__ = ["CannotBoundError", "Kind", "Norm", "operator_norm", "register_norm"]
