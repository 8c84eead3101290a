"""Which convolutions of a graph are bounded together with the padding before them."""

from torch import nn
from torch.nn import functional
from torch.nn.utils.parametrize import type_before_parametrizations

from lit_intriguing.lipschitz.graphs.functions import argument
from lit_intriguing.lipschitz.graphs.graph import Graph, Node, takes_one_tensor
from lit_intriguing.lipschitz.layers.geometry import CONVOLUTIONS
from lit_intriguing.lipschitz.layers.padded_convolution import Sides, padded_convolution
from lit_intriguing.lipschitz.layers.padding import copying_mode


def padded_pairs(graph: Graph) -> dict[Node, tuple[Node, nn.Module]]:
    """Return each convolution that can be joined, with its padding and with the joint layer."""
    found = {}
    for node in graph.live:
        module = node.target
        if not isinstance(module, nn.Module) or not takes_one_tensor(node):
            continue
        before = node.sources[0]
        alone = graph.users[id(before)] == [node] and len(before.sources) == 1
        dims = CONVOLUTIONS.get(type_before_parametrizations(module))
        if not alone or dims is None or len(before.shape) != dims + 2:
            continue
        mode, flat = _padding(before)
        if len(flat) == 2 * dims:
            try:
                found[node] = before, padded_convolution(module, mode, _by_dimension(flat))
            except ValueError:
                continue
    return found


def _padding(node: Node) -> tuple[str, tuple[int, ...]]:
    """Return how and by how much a node pads; nothing if it does not."""
    if node.target is functional.pad and isinstance(argument(node, 0, "input"), Node):
        flat = argument(node, 1, "pad")
        whole = all(isinstance(side, int) for side in flat)
        return argument(node, 2, "mode", "constant"), tuple(flat) if whole else ()
    if isinstance(node.target, nn.Module) and takes_one_tensor(node):
        mode = copying_mode(node.target)
        return (mode, tuple(node.target.padding)) if mode else ("", ())  # type: ignore[arg-type]
    return "", ()


def _by_dimension(flat: tuple[int, ...]) -> Sides:
    """Return the sides of each dimension; torch names the last one's first."""
    return list(zip(flat[::2], flat[1::2], strict=True))[::-1]
