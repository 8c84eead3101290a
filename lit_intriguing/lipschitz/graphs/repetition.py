"""Whether two passes of one model are the same."""

from collections.abc import Iterator
from itertools import zip_longest
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lit_intriguing.lipschitz.graphs.graph import Graph, Node, mapped


def difference(one: Graph, other: Graph) -> str:
    """The names of the first nodes at which two passes of one model part; empty if they do not.

    What a function is given counts by its value where it is a number, text, a tensor, an array or
    a module, or a nest of these, and by its type elsewhere.
    """
    for mine, others in zip_longest(_lines(one), _lines(other), fillvalue=()):
        if not _same(mine, others):
            return " and then ".join(dict.fromkeys(str(each[0]) for each in (mine, others) if each))
    return ""


def _lines(graph: Graph) -> Iterator[tuple[Any, ...]]:
    """What a pass consists of; nodes by their places."""
    places = {id(node): place for place, node in enumerate(graph.nodes)}

    def placed(tree: Any) -> Any:
        return mapped(tree, Node, lambda node: places.get(id(node), node.name))

    for node in graph.nodes:
        target = node.target if isinstance(node.target, nn.Module) else _Function(node.target)
        given = placed(node.args), placed(dict(node.kwargs))
        kind = node.shape, node.varying, node.discrete, node.in_place
        yield node.name, target, given, kind, node.known
    yield "the output", placed(graph.outputs), graph.failure


class _Function:
    """A function, which counts by its equality."""

    def __init__(self, function: Any) -> None:
        self.function = function


def _same(one: Any, other: Any) -> bool:
    if one is other:
        return True
    if type(one) is not type(other) or isinstance(one, nn.Module):
        return False
    if isinstance(one, _Function):
        return bool(one.function == other.function)
    if isinstance(one, Tensor):
        return _same_numbers(one, other)
    if isinstance(one, np.ndarray):
        return bool(one.dtype == other.dtype and one.tobytes() == other.tobytes())
    if isinstance(one, tuple | list):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, dict):
        return _same(list(one.items()), list(other.items()))
    if isinstance(one, slice):
        return _same((one.start, one.stop, one.step), (other.start, other.stop, other.step))
    # A number by its digits: NaN is like NaN.
    number = isinstance(one, int | float | complex | str | bytes)
    return repr(one) == repr(other) if number else True


def _same_numbers(one: Tensor, other: Tensor) -> bool:
    alike = one.dtype == other.dtype and one.shape == other.shape and one.device == other.device
    if not alike or torch.strided not in (one.layout, other.layout):
        return False
    return bool(torch.all((one == other) | (one.isnan() & other.isnan())))
