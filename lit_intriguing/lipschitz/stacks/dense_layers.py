"""The dense layers of a network that is nothing but a stack of them."""

from torch import Tensor, nn
from torch.nn.utils.parametrize import type_before_parametrizations

from lit_intriguing.lipschitz.graphs.functional import same_layer
from lit_intriguing.lipschitz.graphs.functions import function_norm
from lit_intriguing.lipschitz.graphs.graph import Graph, Node, Shape
from lit_intriguing.lipschitz.graphs.tracing import traced
from lit_intriguing.lipschitz.layers.activations import Slopes, slope_interval
from lit_intriguing.lipschitz.layers.folding import BATCH_NORMS, folded
from lit_intriguing.lipschitz.norms import CannotBoundError
from lit_intriguing.lipschitz.plain import plain
from lit_intriguing.lipschitz.weights import finite_weight

Layer = tuple[str, Tensor, Slopes]

_SAME: Slopes = (1.0, 1.0)
_NOTHING = (nn.Flatten, nn.Unflatten)


def dense_layers(model: nn.Module, input_shape: Shape) -> list[Layer] | None:
    """Return the layers of a network that is a stack of dense ones.

    Flatten, Dropout and Identity are nothing; a BatchNorm behind a dense layer is folded into it.

    Args:
        model: Any module that takes one tensor; it stays as it is.
        input_shape: Shape of one example, without the batch dimension.

    Returns:
        The name of each, its weight ``(n_k, n_{k-1})`` in float64 and the interval that contains
        the slopes of the activation behind it, ``(1, 1)`` if there is none; None for a network that
        is something else, or whose weights are not known.

    Raises:
        ValueError: If the model does not take an example of this shape, returns no tensor, or has
            no weights yet.
    """
    return dense_stack(traced(plain(model), tuple(input_shape)))


def dense_stack(graph: Graph) -> list[Layer] | None:
    """As `dense_layers`, of a graph."""
    path = _path(graph)
    try:
        return None if path is None else _layers(path)
    except CannotBoundError:
        return None


def _path(graph: Graph) -> list[Node] | None:
    """The nodes from the input to the output, if each is made of the one before alone."""
    if graph.failure or len(graph.outputs) != 1:
        return None
    path = [graph.outputs[0]]
    while path[-1] is not graph.input:
        sources = path[-1].sources
        if len(sources) != 1:
            return None
        path.append(sources[0])
    return path[-2::-1]


def _layers(path: list[Node]) -> list[Layer] | None:
    found: list[Layer] = []
    linear: nn.Module | None = None  # the dense layer that a BatchNorm behind it would fold into
    for node in path:
        module = node.target if isinstance(node.target, nn.Module) else same_layer(node)
        kind = None if module is None else type_before_parametrizations(module)
        if module is not None and kind is nn.Linear and len(node.sources[0].shape) == 2:
            linear = module
            found.append((node.name, finite_weight(module), _SAME))
        elif module is not None and kind in BATCH_NORMS and linear is not None:
            linear = folded(linear, module)
            found[-1] = found[-1][0], finite_weight(linear), _SAME
        elif not _is_nothing(node, module):
            slopes = None if module is None else slope_interval(module)
            if slopes is None or not found or found[-1][2] != _SAME:
                return None
            found[-1], linear = (*found[-1][:2], slopes), None
    return found or None


def _is_nothing(node: Node, module: nn.Module | None) -> bool:
    """Whether the numbers stay what they are, and in their order."""
    if module is not None:
        return type_before_parametrizations(module) in _NOTHING or slope_interval(module) == _SAME
    name = getattr(node.target, "__name__", "")
    kept = name in ("flatten", "view", "reshape", "contiguous", "dropout", "clone", "detach")
    norm = function_norm(node) if kept else None
    return norm is not None and norm.finite
