"""Which batch normalisations of a graph are bounded together with the layer before them."""

from torch import nn
from torch.nn.utils.parametrize import type_before_parametrizations

from lit_intriguing.lipschitz.graphs.graph import Graph, Node, takes_one_tensor
from lit_intriguing.lipschitz.layers.folding import BATCH_NORMS, folded


def folded_pairs(graph: Graph) -> dict[Node, Node]:
    """Return each batch normalisation that can be folded, with the layer before it."""
    found = {}
    for node in graph.live:
        if _is_batch_norm(node) and len(node.sources) == 1:
            before = node.sources[0]
            if graph.users[id(before)] == [node] and _can_fold(before, node):
                found[node] = before
    return found


def _is_batch_norm(node: Node) -> bool:
    module = node.target
    return isinstance(module, nn.Module) and type_before_parametrizations(module) in BATCH_NORMS


def _can_fold(before: Node, node: Node) -> bool:
    if not isinstance(before.target, nn.Module) or not takes_one_tensor(before):
        return False
    if not takes_one_tensor(node):
        return False
    try:
        folded(before.target, node.target)
    except ValueError:
        return False
    return _makes_channels(before)


def _makes_channels(node: Node) -> bool:
    """Return whether the layer's outputs lie in dimension 1, as a batch normalisation needs.

    Dense layers make the last dimension, and convolutions take an example without a batch, too.
    """
    return len(node.shape) == 2 + len(getattr(node.target, "kernel_size", ()))
