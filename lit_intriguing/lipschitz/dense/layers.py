"""The dense layers of a network that is nothing but a stack of them."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import type_before_parametrizations

from lit_intriguing.lipschitz.graphs.functional import same_layer
from lit_intriguing.lipschitz.graphs.functions import function_norm
from lit_intriguing.lipschitz.graphs.graph import Graph, Node
from lit_intriguing.lipschitz.graphs.joining import is_translation
from lit_intriguing.lipschitz.graphs.tracing import traced
from lit_intriguing.lipschitz.layers.activations import Slopes, slope_interval
from lit_intriguing.lipschitz.layers.folding import BATCH_NORMS, folded
from lit_intriguing.lipschitz.registry import CannotBoundError, Shape
from lit_intriguing.lipschitz.unwrapped import unwrapped
from lit_intriguing.lipschitz.weights import finite_weight, forward_weight

Layer = tuple[str, Tensor, Slopes]

_SAME: Slopes = (1.0, 1.0)
_FOLDED = 1 - 2.0**-25
"""At least by this, at most by 1, a folded layer's channel has to be multiplied to be the two."""
_NOTHING = (nn.Flatten, nn.Unflatten)


def dense_layers(model: nn.Module, input_shape: Shape) -> list[Layer] | None:
    """Return the layers of a network that is a stack of dense ones.

    Flatten, Dropout, Identity and an added constant are nothing; a BatchNorm behind a dense layer
    is folded into it.
    What is off in the folded weights is taken into the slopes, so that bounds of the layers hold
    for the network. An activation at the end is followed by an identity, so that they hold for
    differences of its outputs too.

    Args:
        model: Any module that takes one tensor; it stays as it is.
        input_shape: Shape of one example, without the batch dimension.

    Returns:
        The name of each, its weight `(n_k, n_{k-1})` in float64 and the interval that contains
        the slopes of the activation behind it, `(1, 1)` if there is none; None for a network that
        is something else, or whose weights are not known, or whose weights are of float64 and
        folded, where rounding is not known channel by channel.

    Raises:
        ValueError: If the model does not take an example of this shape, returns no tensor, or has
            no weights yet.
    """
    return dense_stack(traced(unwrapped(model), tuple(input_shape)))


def dense_stack(graph: Graph) -> list[Layer] | None:
    """Return the layers of a graph; see `dense_layers`."""
    path = _path(graph)
    try:
        return None if path is None else _layers(path)
    except ValueError:
        return None


def _is_vector(node: Node) -> bool:
    """Return whether an example is one vector there, not several that are mapped alike."""
    return len(node.shape) == 2 and node.shape[0] == 1


def _path(graph: Graph) -> list[Node] | None:
    """Return the nodes from input to output, if each is made of the one before alone."""
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
    found: list[_Dense] = []
    for node in path:
        module = node.target if isinstance(node.target, nn.Module) else same_layer(node)
        kind = None if module is None else type_before_parametrizations(module)
        alone = _is_vector(node) and _is_vector(node.sources[0])
        if module is not None and kind is nn.Linear and alone:
            found.append(_Dense(node.name, module))
        elif (
            module is not None and kind in BATCH_NORMS and alone and found and found[-1].can_fold()
        ):
            found[-1] = replace(found[-1], batch_norm=module)
        elif not _is_nothing(node, module):
            slopes = None if module is None else slope_interval(module)
            if slopes is None or not found or found[-1].slopes != _SAME:
                return None
            found[-1] = replace(found[-1], slopes=slopes)
    return _ended([one.layer() for one in found]) if found else None


@dataclass(frozen=True)
class _Dense:
    """A dense layer with what follows it."""

    name: str
    linear: nn.Module
    batch_norm: nn.Module | None = None
    slopes: Slopes = _SAME

    def can_fold(self) -> bool:
        """Return whether a BatchNorm here would be folded into the layer, with a known error.

        The product of its factors with weights of float32, or less, is exact.
        """
        dtype = forward_weight(self.linear).dtype
        exact = dtype.is_floating_point and torch.finfo(dtype).eps >= 2.0**-23
        return self.batch_norm is None and self.slopes == _SAME and exact

    def layer(self) -> Layer:
        weight = finite_weight(self.linear)
        if weight.is_complex():
            raise CannotBoundError("its weight is complex")
        if self.batch_norm is None:
            return self.name, weight, self.slopes
        lo, hi = self.slopes
        wider = min(lo, lo * _FOLDED), max(hi, hi * _FOLDED)
        return self.name, finite_weight(folded(self.linear, self.batch_norm)), wider


def _ended(layers: list[Layer]) -> list[Layer]:
    """End with a layer of which nothing but sums of its inputs comes out."""
    name, weight, slopes = layers[-1]
    if slopes == _SAME:
        return layers
    return [*layers, (name, torch.eye(len(weight), dtype=torch.float64), _SAME)]


def _is_nothing(node: Node, module: nn.Module | None) -> bool:
    """Return whether all values stay as they are, in their order, but for an added constant."""
    if module is not None:
        return type_before_parametrizations(module) in _NOTHING or slope_interval(module) == _SAME
    if is_translation(node):
        return True
    name = getattr(node.target, "__name__", "")
    unchanged = name in ("flatten", "view", "reshape", "contiguous", "dropout", "clone", "detach")
    norm = function_norm(node) if unchanged else None
    return norm is not None and norm.finite
