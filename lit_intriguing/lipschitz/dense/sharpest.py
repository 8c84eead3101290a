"""The sharpest bounds there are for certified radii: by pairs of classes, or of the whole."""

from torch import Tensor, nn

from lit_intriguing.lipschitz.dense.layers import dense_layers
from lit_intriguing.lipschitz.dense.stack import MOST_CLASSES, pair_norms
from lit_intriguing.lipschitz.layer_bounds import NetworkNorm
from lit_intriguing.lipschitz.norm import Norm

WIDEST = 1000
"""Hidden units up to which pairs of classes are bounded one by one; beyond it takes minutes."""


def sharpest_norms(model: nn.Module, network: NetworkNorm, shape: tuple[int, ...]) -> Norm | Tensor:
    """Return bounds of each pair of classes in a stack of dense layers, else of the whole.

    Args:
        model: The network.
        network: Its bounds.
        shape: Of one example.

    Returns:
        What `certified_radius` takes: `(K, K)`, or one norm.
    """
    layers = None if network.joint is None else dense_layers(model, shape)
    if not layers or len(layers[-1][1]) > MOST_CLASSES:
        return network.norm
    if sum(len(weight) for _, weight, _ in layers[:-1]) > WIDEST:
        return network.norm
    slopes = [slope for _, _, slope in layers[:-1]]
    return pair_norms([weight for _, weight, _ in layers], slopes)
