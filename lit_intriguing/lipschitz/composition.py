"""The constant of a network, composed along its graph of those of its layers and functions."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from math import fsum

from torch import nn
from torch.nn.utils.parametrize import type_before_parametrizations

from lit_intriguing.lipschitz.graphs.folded_pairs import folded_pairs
from lit_intriguing.lipschitz.graphs.functions import function_norm, joined_norm
from lit_intriguing.lipschitz.graphs.graph import Graph, Node, takes_one_tensor
from lit_intriguing.lipschitz.graphs.padded_pairs import padded_pairs
from lit_intriguing.lipschitz.graphs.recorder import function_name, is_layer
from lit_intriguing.lipschitz.layer_bounds import FOLDED, PADDED, LayerBound
from lit_intriguing.lipschitz.layers.folding import folded
from lit_intriguing.lipschitz.norm import ONE, Norm, product, root_of_squares, unknown
from lit_intriguing.lipschitz.registry import Method, Rule, Shape

_REASONS = 3  # named one by one in a sentence


class Composition:
    """The bounds of a graph's nodes, composed from the input to the outputs.

    Args:
        model: What was traced.
        graph: Of its forward pass.
        layer_norm: Bounds a layer, given the shape of its input or None.
        method: As of `operator_norm`, for the functions.
    """

    def __init__(self, model: nn.Module, graph: Graph, layer_norm: Rule, method: Method) -> None:
        self._model, self._graph, self._layer_norm = model, graph, layer_norm
        self._method = method
        self._found: dict[tuple[nn.Module, Shape | None, nn.Module | None], Norm] = {}
        self._layers: dict[str, LayerBound] = {}
        self._functions: list[Norm] = []
        self._norms: dict[Node, Norm] = {graph.input: ONE}
        self._folded = folded_pairs(graph)
        self._padded = padded_pairs(graph)
        self._paddings = {padding for padding, _ in self._padded.values()}
        for node in graph.live:
            if node not in self._norms:
                # Without its reason, which would be repeated along each of the paths.
                self._norms[node] = replace(self._bound(node), reason="")

    def layers(self) -> Iterable[LayerBound]:
        """Yield the layers that were met, then those behind the place where tracing stopped."""
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
        """Return the bound of the whole."""
        if self._graph.failure:
            return unknown(self._graph.failure)
        outputs = dict.fromkeys(node for node in self._graph.outputs if node.varying)
        found = [self._norms[node] for node in self._graph.outputs if node in outputs]
        norm = root_of_squares(found) if found else Norm(0.0)
        unbounded = [one.norm.reason for one in self._layers.values() if not one.norm.finite]
        return self._with_risk(norm) if norm.finite else unknown(_shortened(unbounded))

    def _with_risk(self, norm: Norm) -> Norm:
        """Return the norm with the risk that any of the probable constants is too low."""
        if norm.kind != "probable":
            return norm
        risks = (one.risk for one in (*self._found.values(), *self._functions))
        return replace(norm, risk=min(1.0, fsum(risks)))

    def _bound(self, node: Node) -> Norm:
        if node in self._paddings:  # counts with the convolution behind it
            return self._norms[node.sources[0]]
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
        if not takes_one_tensor(node):
            norm = self._norm(module, shape, None)
            if norm.finite:
                norm = unknown("it is called with more than its input")
            return self._listed(node, self._layer(node.name, module, shape, norm))
        if node in self._folded:
            before = self._folded[node]
            note = f"{FOLDED}{before.name}"
            return self._listed(node, self._layer(node.name, module, shape, ONE, note))
        after = next((one for one, before in self._folded.items() if before is node), None)
        last = None if after is None else after.target
        if node not in self._padded:
            norm = self._norm(module, shape, last)
            return self._listed(node, self._layer(node.name, module, shape, norm))
        padding, joint = self._padded[node]
        norm = self._norm(joint, padding.sources[0].shape[1:], last)
        note = f"{PADDED}{padding.name}"
        return self._listed(node, self._layer(node.name, module, shape, norm, note))

    def _function(self, node: Node, norm: Norm) -> Norm:
        shape = node.sources[0].shape[1:] if node.sources else None
        kind = "" if node.target is None else function_name(node.target)
        # The node's name, which says where it is, ends in the function's.
        norm = replace(norm, reason=norm.reason.removeprefix(f"{kind}: "))
        return self._listed(node, LayerBound(node.name, kind, shape, _of(node.name, norm)))

    def _norm(self, module: nn.Module, shape: Shape, after: nn.Module | None) -> Norm:
        key = module, shape, after
        if key not in self._found:
            try:
                one = module if after is None else folded(module, after)
                self._found[key] = self._layer_norm(one, shape)
            except ValueError as error:
                kind = type(module).__name__
                self._found[key] = unknown(f"{kind}: {str(error).removeprefix(f'{kind}: ')}")
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


def _of(name: str, norm: Norm) -> Norm:
    """Return the norm with the layer's name before the reason."""
    return replace(norm, reason=f"{name}: {norm.reason}") if name and norm.reason else norm


def _shortened(reasons: Sequence[str]) -> str:
    rest = len(reasons) - _REASONS
    end = [] if rest < 1 else [f"and {rest} more"]
    return "; ".join([*reasons[:_REASONS], *end])
