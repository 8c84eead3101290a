"""Upper bounds of Lipschitz constants (L2): of a layer, of a network, and what they certify."""

from lit_intriguing.lipschitz import layers  # noqa: F401  they register their rules
from lit_intriguing.lipschitz.certificate import (
    certified_accuracy,
    certified_radius,
    float64_logits,
)
from lit_intriguing.lipschitz.dense.layers import dense_layers
from lit_intriguing.lipschitz.dense.stack import pair_norms, stack_norm
from lit_intriguing.lipschitz.graphs.functions import register_function
from lit_intriguing.lipschitz.layer_bounds import LayerBound, NetworkNorm
from lit_intriguing.lipschitz.network import network_norm
from lit_intriguing.lipschitz.norm import Kind, Norm
from lit_intriguing.lipschitz.power import PowerIteration
from lit_intriguing.lipschitz.registry import CannotBoundError, operator_norm, register_norm
from lit_intriguing.lipschitz.unwrapped import HARMLESS_HOOKS
from lit_intriguing.lipschitz.validation import Unbounded, validate

__all__ = [
    "HARMLESS_HOOKS",
    "CannotBoundError",
    "Kind",
    "LayerBound",
    "NetworkNorm",
    "Norm",
    "PowerIteration",
    "Unbounded",
    "certified_accuracy",
    "certified_radius",
    "dense_layers",
    "float64_logits",
    "network_norm",
    "operator_norm",
    "pair_norms",
    "register_function",
    "register_norm",
    "stack_norm",
    "validate",
]
