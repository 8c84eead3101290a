"""The Lipschitz constant of a whole network: along its graph, and layer by layer."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import fsum

from torch import nn
from torch.nn.utils.parametrize import type_before_parametrizations

from lit_intriguing.lipschitz import graphs  # noqa: F401  they register their rules
from lit_intriguing.lipschitz.dense.layers import dense_stack
from lit_intriguing.lipschitz.dense.stack import stack_norm
from lit_intriguing.lipschitz.graphs.functions import function_norm, joined_norm
from lit_intriguing.lipschitz.graphs.graph import Graph, Node, Shape
from lit_intriguing.lipschitz.graphs.recorder import function_name, is_layer
from lit_intriguing.lipschitz.graphs.tracing import traced
from lit_intriguing.lipschitz.layers.folding import BATCH_NORMS, folded
from lit_intriguing.lipschitz.norm import ONE, Norm, product, root_of_squares, unknown
from lit_intriguing.lipschitz.registry import (
    Method,
    Rule,
    check_method,
    operator_norm,
    register_norm,
)
from lit_intriguing.lipschitz.unwrapped import unwrapped

Cell = str | int | float

_REASONS = 3  # named one by one in a sentence

FOLDED = "folded into "
"""Begins the note of a layer that is bounded together with the one before."""


@dataclass(frozen=True)
class LayerBound:
    """What is known of one layer.

    Attributes:
        name: Qualified name of the module; of a function, that of its place and its own.
        type: Of the module, or the function's name.
        input_shape: Shape of one example of its input, without the batch dimension; None where it
            is not known.
        norm: Its constant; of a layer that is used with several shapes, the largest.
        note: What else there is to say of it: that it is ``folded into`` the layer before it, which
            is then bounded together with it, and ``norm`` is 1, not its own constant. Skip layers
            with a note where each layer's own constant is wanted.
    """

    name: str
    type: str
    input_shape: Shape | None
    norm: Norm
    note: str = ""

    @property
    def folded_into(self) -> str | None:
        """Name of the layer that it is bounded together with; None where it is bounded itself."""
        return self.note.removeprefix(FOLDED) if self.note.startswith(FOLDED) else None


@dataclass(frozen=True)
class NetworkNorm:
    """What is known of a network.

    Attributes:
        layers: In the order of the forward pass, those whose constant is not trivially 1.
        product: The bound along the graph: products along its paths, sums where they are added,
            the root of the sum of squares where they are concatenated.
        joint: The tighter bound of all layers at once, where the network is a stack of dense
            layers; None elsewhere.
    """

    layers: tuple[LayerBound, ...]
    product: Norm
    joint: Norm | None = None

    @property
    def norm(self) -> Norm:
        """The smaller of the two bounds that are certified; if none is, the product."""
        certified = [
            one for one in (self.product, self.joint) if one and one.kind in ("exact", "upper")
        ]
        return min(certified, key=lambda one: one.value, default=self.product)

    def table(self) -> tuple[list[str], list[list[Cell]]]:
        """Columns and rows: a row for each layer, then the network's."""
        rows: list[list[Cell]] = [
            [
                layer.name,
                layer.type,
                _shape_text(layer.input_shape),
                *_cells(layer.norm, layer.note),
            ]
            for layer in self.layers
        ]
        rows.append(["network", "product", "", *_cells(self.product)])
        if self.joint is not None:
            rows.append(["network", "joint", "", *_cells(self.joint)])
        return ["layer", "type", "input", "norm", "kind", "note"], rows


def network_norm(
    model: nn.Module,
    input_shape: tuple[int, ...],
    *,
    joint: bool = True,
    method: Method = "certified",
    layer_norm: Rule | None = None,
) -> NetworkNorm:
    """Bound the Lipschitz constant of a network with respect to L2 norms.

    It is that of the map from one example to what the model returns (all tensors of it as one), in
    evaluation mode. Nothing is computed but the layers' constants, and the model stays as it is.
    A forward hook is not called; one that may change an output (see `changed_by`) makes the bound
    infinite. A batch normalisation that directly follows a convolution or a dense layer
    is bounded together with it.

    The model's forward runs once, on a copy, with tensors that have no values, and is taken for the
    function that it is then. What it reads besides its input, parameters and buffers (a clock,
    random numbers of Python or NumPy, a counter, the mode of a module outside the model) counts as
    it is at that time. A cache outside the model's own attributes (a `functools.lru_cache`, an
    object of another class) that is filled meanwhile is left with tensors that have no values, and
    the next bound is infinite: call the model once before.

    Args:
        model: Any module that takes one tensor, on any device.
        input_shape: Shape of one example, without the batch dimension: ``(3, 224, 224)``.
        joint: Whether to look for the tighter bound where the network is a stack of dense layers.
        method: As of `operator_norm`, for each layer and function. With ``"probable"`` the product
            is too low with at most the sum of the layers' risks as probability; the joint bound is
            always certified.
        layer_norm: What a layer is asked by, with the shape of its input or None; by default
            `operator_norm` with this method.

    Returns:
        The bounds. A layer or function without a rule, and control flow that depends on values,
        make the product infinite; its reason names them.

    Raises:
        ValueError: If the model does not take an example of this shape, returns no tensor, or has
            no weights yet; for another method.

    Examples:
        >>> model = nn.Sequential(nn.ReLU(), nn.Flatten(), nn.Tanh())
        >>> network_norm(model, (2, 3)).norm
        Norm(value=1.0, kind='exact', risk=0.0, reason='')
    """
    check_method(method)
    model = unwrapped(model)
    graph = traced(model, tuple(input_shape))
    walk = _Walk(model, graph, layer_norm or partial(operator_norm, method=method), method)
    together = _joint(graph) if joint else None
    return NetworkNorm(tuple(walk.layers()), walk.product(), together)


class _Walk:
    """Goes along a graph and bounds what it meets."""

    def __init__(self, model: nn.Module, graph: Graph, layer_norm: Rule, method: Method) -> None:
        self._model, self._graph, self._layer_norm = model, graph, layer_norm
        self._method = method
        self._found: dict[tuple[nn.Module, Shape | None, nn.Module | None], Norm] = {}
        self._layers: dict[str, LayerBound] = {}
        self._functions: list[Norm] = []
        self._norms: dict[Node, Norm] = {graph.input: ONE}
        self._folded = _folded_pairs(graph)
        for node in graph.live:
            if node not in self._norms:
                # Without its reason, which would be repeated along each of the paths.
                self._norms[node] = replace(self._bound(node), reason="")

    def layers(self) -> Iterable[LayerBound]:
        """Those met, then those that the forward pass did not reach because it was not followed."""
        known = self._layers
        if self._graph.failure:
            modules = {name: one for name, one in self._model.named_modules() if is_layer(one)}
            missed = {
                name: self._layer(name, module, None, self._layer_norm(module, None))
                for name, module in modules.items()
                if name not in known
            }
            known = {name: one for name, one in known.items() if name in modules} | missed
        yield from (layer for layer in known.values() if layer.norm != ONE or layer.note)

    def product(self) -> Norm:
        """The bound of the whole."""
        if self._graph.failure:
            return unknown(self._graph.failure)
        outputs = dict.fromkeys(node for node in self._graph.outputs if node.varying)
        found = [self._norms[node] for node in self._graph.outputs if node in outputs]
        norm = root_of_squares(found) if found else Norm(0.0)
        unbounded = [one.norm.reason for one in self._layers.values() if not one.norm.finite]
        return self._with_risk(norm) if norm.finite else unknown(_shortened(unbounded))

    def _with_risk(self, norm: Norm) -> Norm:
        """It holds where all probable constants do: each counts once, on however many paths."""
        if norm.kind != "probable":
            return norm
        risks = (one.risk for one in (*self._found.values(), *self._functions))
        return replace(norm, risk=min(1.0, fsum(risks)))

    def _bound(self, node: Node) -> Norm:
        if isinstance(node.target, nn.Module):
            return self._after(node, self._module(node, node.target))
        own = function_norm(node, self._method)
        if own is not None:
            self._functions.append(own)
            return self._after(node, self._function(node, own))
        joined = joined_norm(node, self._norms)
        if joined.finite or not all(self._norms[one].finite for one in node.sources):
            return joined
        return self._function(node, joined)

    def _after(self, node: Node, own: Norm) -> Norm:
        return product([*(self._norms[source] for source in node.sources[:1]), own])

    def _module(self, node: Node, module: nn.Module) -> Norm:
        shape = node.sources[0].shape[1:]
        if not _given_one(node):
            norm = self._norm(module, shape, None)
            if norm.finite:
                norm = unknown("it is called with more than its input")
            return self._listed(node, self._layer(node.name, module, shape, norm))
        if node in self._folded:
            before = self._folded[node]
            note = f"{FOLDED}{before.name}"
            return self._listed(node, self._layer(node.name, module, shape, ONE, note))
        after = next((one for one, before in self._folded.items() if before is node), None)
        norm = self._norm(module, shape, None if after is None else after.target)
        return self._listed(node, self._layer(node.name, module, shape, norm))

    def _function(self, node: Node, norm: Norm) -> Norm:
        shape = node.sources[0].shape[1:] if node.sources else None
        kind = "" if node.target is None else function_name(node.target)
        return self._listed(node, LayerBound(node.name, kind, shape, _of(node.name, norm)))

    def _norm(self, module: nn.Module, shape: Shape, after: nn.Module | None) -> Norm:
        key = module, shape, after
        if key not in self._found:
            try:
                one = module if after is None else folded(module, after)
                self._found[key] = self._layer_norm(one, shape)
            except ValueError as error:
                self._found[key] = unknown(f"{type(module).__name__}: {error}")
        return self._found[key]

    def _layer(
        self, name: str, module: nn.Module, shape: Shape | None, norm: Norm, note: str = ""
    ) -> LayerBound:
        kind = type_before_parametrizations(module).__name__
        return LayerBound(name or kind, kind, shape, _of(name, norm), note)

    def _listed(self, node: Node, layer: LayerBound) -> Norm:
        before = self._layers.get(layer.name)
        if before is None or before.norm.value < layer.norm.value:
            self._layers[layer.name] = layer
        return layer.norm


@register_norm(nn.Sequential)
def sequential(module: nn.Sequential, shape: Shape | None) -> Norm:
    """Along the graph; without a shape, the product of what is in it."""
    return _in_a_row(module, shape, "certified")


@register_norm(nn.Sequential, method="probable")
def probable_sequential(module: nn.Sequential, shape: Shape | None) -> Norm:
    """The same of probable constants."""
    return _in_a_row(module, shape, "probable")


def _in_a_row(module: nn.Sequential, shape: Shape | None, method: Method) -> Norm:
    if shape is None:
        return product([operator_norm(child, method=method) for child in module])
    return network_norm(module, shape, joint=False, method=method).product


def _joint(graph: Graph) -> Norm | None:
    stack = dense_stack(graph)
    if stack is None or len(stack) < 2:
        return None
    *slopes, (low, high) = [slope for _, _, slope in stack]
    try:
        norm = stack_norm([weight for _, weight, _ in stack], slopes)
    except ValueError:  # the product is a bound without it
        return None
    return norm.times(max(abs(low), abs(high)))


def _given_one(node: Node) -> bool:
    """Whether a layer is called with one tensor, and with nothing else that could matter."""
    given = [*node.args, *node.kwargs.values()]
    return [one for one in given if one is not None] == node.sources and len(node.sources) == 1


def _folded_pairs(graph: Graph) -> dict[Node, Node]:
    """Each batch normalisation that can be folded, with the layer that it is folded into."""
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
    if not isinstance(before.target, nn.Module) or not _given_one(before):
        return False
    if not _given_one(node):
        return False
    try:
        folded(before.target, node.target)
    except ValueError:
        return False
    return _makes_channels(before)


def _makes_channels(node: Node) -> bool:
    """Whether what the layer makes lies in dimension 1, where a batch normalisation looks for it.

    Dense layers make the last dimension, and convolutions take an example without a batch, too.
    """
    return len(node.shape) == 2 + len(getattr(node.target, "kernel_size", ()))


def _of(name: str, norm: Norm) -> Norm:
    """With the layer's name before the reason."""
    return replace(norm, reason=f"{name}: {norm.reason}") if name and norm.reason else norm


def _shortened(reasons: Sequence[str]) -> str:
    rest = len(reasons) - _REASONS
    end = [] if rest < 1 else [f"and {rest} more"]
    return "; ".join([*reasons[:_REASONS], *end])


def _shape_text(shape: Shape | None) -> str:
    return "" if shape is None else "x".join(map(str, shape))


def _cells(norm: Norm, note: str = "") -> list[Cell]:
    return [norm.value, norm.certainty(), note or norm.reason]
