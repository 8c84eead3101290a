"""Which layers of a network cannot be bounded, before anything is computed."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import type_before_parametrizations

from lit_intriguing.lipschitz.graphs.functions import function_norm, joined_norm
from lit_intriguing.lipschitz.graphs.graph import Graph, Node, takes_one_tensor
from lit_intriguing.lipschitz.graphs.recorder import function_name, is_layer
from lit_intriguing.lipschitz.graphs.tracing import traced
from lit_intriguing.lipschitz.norm import ONE, Norm, unknown
from lit_intriguing.lipschitz.registry import has_rule, only_checked, operator_norm
from lit_intriguing.lipschitz.unwrapped import changed_by, unwrapped

_PACKAGE = "lit_intriguing.lipschitz"
_AROUND = f"write a rule for the module that does this: @{_PACKAGE}.register_norm(<its type>)"


@dataclass(frozen=True)
class Unbounded:
    """A layer that makes the bound of a network infinite.

    Attributes:
        name: Qualified name of the module; of a function, that of its place and its own; empty
            where the forward pass as a whole cannot be traced.
        type: Of the module, or the function's name.
        reason: Why there is no bound.
        remedy: What to do, such as the decorator that registers a rule.
    """

    name: str
    type: str
    reason: str
    remedy: str

    def __str__(self) -> str:
        """Return one line that says it all."""
        return f"{self.name or self.type}: {self.reason}; {self.remedy}"


def validate(module: nn.Module, input_shape: tuple[int, ...]) -> list[Unbounded]:
    """List all layers and functions of a network that cannot be bounded.

    The forward runs once, with tensors that have no values, as for `network_norm`, and no norm of
    a matrix or convolution is computed. Rules for types of your own are called, unless they were
    registered with a `check`.

    Args:
        module: Any module that takes one tensor, on any device. It stays as it is.
        input_shape: Shape of one example, without the batch dimension: `(3, 224, 224)`.

    Returns:
        One entry each, in the order of the forward pass; empty where `network_norm` is finite (but
        for constants that float64 cannot hold).

    Raises:
        ValueError: If the model does not take an example of this shape, returns no tensor, or has
            no weights yet.

    Examples:
        >>> for one in validate(nn.Sequential(nn.Linear(3, 4), nn.LSTM(4, 2)), (3,)):
        ...     print(one.name, "-", one.reason)
        1 - no rule for this type of layer
    """
    copy = unwrapped(module)
    graph = traced(copy, tuple(input_shape))
    found: dict[str, Unbounded] = {}
    with only_checked():
        for node in _to_check(graph):
            one = _of_call(node)
            if one is not None:
                found.setdefault(one.name, one)
    return [*found.values(), *(_of_failure(copy, graph) if graph.failure else ())]


def _to_check(graph: Graph) -> list[Node]:
    """Return the calls that the output depends on, as far as that is known."""
    # Where the forward pass stopped, numbers that are no result may have been compared.
    return [
        node
        for node in graph.live
        if node is not graph.input and not (graph.failure and node.discrete)
    ]


def _of_call(node: Node) -> Unbounded | None:
    """Return why a call cannot be bounded; None if it can."""
    if isinstance(node.target, nn.Module):
        kind, norm = type_before_parametrizations(node.target).__name__, _of_layer(node)
        remedy = _rule_for(node.target) if takes_one_tensor(node) else _AROUND
    else:
        kind = "" if node.target is None else function_name(node.target)
        norm = function_norm(node) or joined_norm(node, dict.fromkeys(node.sources, ONE))
        remedy = _rule_for_function(node)
    if norm.finite:
        return None
    return Unbounded(node.name or kind, kind, norm.reason.removeprefix(f"{kind}: "), remedy)


def _of_layer(node: Node) -> Norm:
    if not takes_one_tensor(node):
        return unknown("it is called with more than its input")
    try:
        return operator_norm(node.target, node.sources[0].shape[1:])
    except ValueError as error:
        return unknown(str(error))


def _of_failure(model: nn.Module, graph: Graph) -> list[Unbounded]:
    """Return why the forward pass stopped, and which layers it did not reach have no rule."""
    met = {node.name for node in graph.nodes}
    found = []
    for name, module in model.named_modules():
        why = changed_by(module)
        if not why and name not in met and is_layer(module) and not has_rule(module):
            why = "no rule for this type of layer"
        if why:
            found.append(Unbounded(name, type(module).__name__, why, _rule_for(module)))
    if any(graph.failure.endswith(one.reason) for one in found):
        return found
    return [*found, Unbounded("", type(model).__name__, graph.failure, _AROUND)]


def _rule_for(layer: nn.Module) -> str:
    if any(map(changed_by, layer.modules())):
        return "bring it back to the forward of its type"
    if has_rule(layer):  # another one would count for every layer of the type
        return "its type has a rule, but not for this: repair the layer or replace it"
    kind = type_before_parametrizations(layer)
    public = getattr(nn, kind.__name__, None) is kind
    path = f"torch.nn.{kind.__name__}" if public else f"{kind.__module__}.{kind.__qualname__}"
    return f"write a rule: @{_PACKAGE}.register_norm({path})"


def _rule_for_function(node: Node) -> str:
    owners = {"torch": torch, "torch.nn.functional": nn.functional, "torch.Tensor": Tensor}
    name = getattr(node.target, "__name__", "")
    places = [place for place, owner in owners.items() if getattr(owner, name, 0) == node.target]
    if not places or len(node.sources) != 1:
        return _AROUND
    return f"write a rule: @{_PACKAGE}.register_function({places[0]}.{name})"
