"""The constant of several values as one: less than apart where they are parts of the same."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from math import prod
from typing import Any

import torch
from torch import Tensor

from lit_intriguing.lipschitz.graphs.functions import argument, named, root_above
from lit_intriguing.lipschitz.graphs.graph import Node, item, leaves, mapped
from lit_intriguing.lipschitz.norm import Norm, product, root_of_squares

Norms = Mapping[Node, Norm]

# Each number of what comes out is one of the input, in a place that no value decides.
_MOVES = """flatten reshape permute transpose contiguous squeeze unsqueeze clone detach t movedim
moveaxis swapaxes swapdims ravel unflatten view view_as reshape_as flip fliplr flipud roll chunk
split unbind tensor_split narrow select hsplit vsplit dsplit index_select __getitem__"""
_MOVING = {item, *named(*_MOVES.split()), *(getattr(Tensor, one).__get__ for one in ("T", "mT"))}
_LARGER = set(named("max", "maximum", "fmax", "amax"))
_SMALLER = set(named("min", "minimum", "fmin", "amin"))
_BOTH = set(named("aminmax"))  # two values: the smaller, then the larger


def together(nodes: Iterable[Node], norms: Norms) -> Norm:
    """Return the constant of values as one, with respect to the network's input.

    At most the root of the sum of squares. Values that functions have taken out of the same one
    (parts, rows, every second channel) change with it: the root of how often its most frequent
    number occurs among them, times its constant. The larger and the smaller of the same numbers
    move no farther than these: sorting keeps distances or shortens them.

    Args:
        nodes: The values.
        norms: Of each of them, and of as many of the nodes before them as are known.
    """
    values = list(nodes)
    sorted_from = _unsorted(values)
    if all(node in norms for node in sorted_from):
        values = sorted_from
    groups: dict[int, list[Node]] = {}
    for node in values:
        groups.setdefault(id(_origin(node)), []).append(node)
    return root_of_squares([_of_parts(group, norms) for group in groups.values()])


def _of_parts(nodes: Sequence[Node], norms: Norms) -> Norm:
    """Return the constant of values that come from the same one."""
    apart, origin = root_of_squares([norms[node] for node in nodes]), _origin(nodes[0])
    if len(nodes) == 1 or origin not in norms or not apart.finite:
        return apart
    whole = product([norms[origin], Norm(root_above(_copies(nodes, origin)))])
    whole = whole if whole.kind != "exact" else replace(whole, kind="upper")
    return min(apart, whole, key=lambda norm: norm.value)


def _origin(node: Node) -> Node:
    """Return the value that a value is a part of, before all functions that only move numbers."""
    while _is_moved(node):
        node = node.sources[0]
    return node


def _is_moved(node: Node) -> bool:
    if node.target is item:  # one of the parts that a call gives, if it gives parts
        return _is_moved(node.args[0])
    if node.target not in _MOVING or node.in_place or leaves(node.args, torch.dtype):
        return False
    return node.sources == [argument(node, 0, "input")]


def _copies(nodes: Sequence[Node], origin: Node) -> int:
    """Return how often the most frequent number of the origin occurs in parts of it."""
    start = _positions(origin)
    found = torch.cat([_followed(node, origin, start).flatten() for node in nodes]).long()
    return int(found.bincount(minlength=1).max())


def _followed(node: Node, origin: Node, start: Tensor) -> Tensor:
    """Return the part with each number's position in the origin in its place."""
    if node is origin:
        return start
    if node.target is item:
        part: Tensor = _followed(node.args[0], origin, start)[node.args[1]]
        return part
    source = node.sources[0]
    before = _followed(source, origin, start)

    def value(each: Node) -> Tensor:
        return before if each is source else each.value.cpu()

    args, kwargs = mapped((node.args, dict(node.kwargs)), Node, value)
    moved: Tensor = node.target(*args, **kwargs)
    return moved


def _unsorted(nodes: list[Node]) -> list[Node]:
    """Put in the place of the larger and the smaller of the same numbers these themselves."""
    left, found = list(nodes), list[Node]()
    for node in nodes:
        if node not in left or not _is_extreme(node, _LARGER, 1):
            continue
        smallest = [one for one in left if _is_extreme(one, _SMALLER, 0)]
        smaller = next((one for one in smallest if _sorts_with(_call(node), _call(one))), None)
        if smaller is not None:
            left.remove(node)
            left.remove(smaller)
            found.extend(_call(node).sources)
    return [*left, *found]


def _call(node: Node) -> Node:
    """Return the call whose value a node is: of a maximum along a dimension, which has two."""
    if node.target is not item:
        return node
    call: Node = node.args[0]
    return call if node.args[1] == 0 or call.target in _BOTH else node


def _is_extreme(node: Node, functions: set[Any], index: int) -> bool:
    """Return whether a node comes from one of the functions, or is this one of both extremes."""
    call = _call(node)
    return call.target in functions or (call.target in _BOTH and node.args[1] == index)


def _sorts_with(larger: Node, smaller: Node) -> bool:
    """Return whether a larger and a smaller are those of the same numbers, by their calls.

    Of two values of the result's shape, or of at least two numbers along a dimension.
    """
    if len(larger.inputs) != len(smaller.inputs):
        return False
    if len(larger.inputs) == 2:
        first, second = larger.inputs
        straight, turned = (first, second), (second, first)
        same = any(all(map(_equal, smaller.inputs, pair)) for pair in (straight, turned))
        return same and all(one.shape == larger.shape for one in larger.inputs)
    blank = [
        mapped((one.args, dict(one.kwargs)), Node, lambda _: None) for one in (larger, smaller)
    ]
    several = prod(larger.sources[0].shape) >= 2 * prod(larger.shape)
    return several and blank[0] == blank[1] and _equal(larger.sources[0], smaller.sources[0])


def _equal(one: Node, other: Node) -> bool:
    """Return whether two nodes are the same numbers of the same value, in the same order."""
    if one is other:
        return True
    origin = _origin(one)
    if origin is not _origin(other) or one.shape != other.shape:
        return False
    start = _positions(origin)
    return torch.equal(*(_followed(node, origin, start) for node in (one, other)))


def _positions(origin: Node) -> Tensor:
    return torch.arange(prod(origin.shape), dtype=torch.float64).view(origin.shape)
