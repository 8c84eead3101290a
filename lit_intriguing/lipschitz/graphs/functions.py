"""The Lipschitz constant of a function in a network's graph: an open registry, as for layers."""

import math
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.nn import functional

from lit_intriguing.lipschitz.graphs.graph import Node
from lit_intriguing.lipschitz.graphs.recorder import function_name
from lit_intriguing.lipschitz.norm import Norm, unknown
from lit_intriguing.lipschitz.registry import CannotBoundError, Method, check_method

Rule = Callable[[Node], Norm]
R = TypeVar("R", bound=Rule)
Join = Callable[[Node, Mapping[Node, Norm]], Norm]

_RULES: dict[Any, dict[Method, Rule]] = {}
_JOINS: dict[Any, Join] = {}


def register_function(*functions: Any, method: Method = "certified") -> Callable[[R], R]:
    """Register how the constant of a function is found, in place of what was registered.

    Args:
        functions: As torch hands them to `__torch_function__`: `torch.relu`,
            `torch.Tensor.relu`, `torch.nn.functional.relu` are three.
        method: As of `register_norm`.

    Returns:
        A decorator for a function of the call, a `Node`: its `args` and `kwargs` hold nodes in
        place of tensors, of which the first alone depends on the network's input (the others have
        a `value`). It returns the constant with respect to this argument; or raises
        `CannotBoundError`.

    Raises:
        ValueError: For another method.
    """
    check_method(method)

    def register(rule: R) -> R:
        for function in functions:
            before = {} if method == "certified" else _RULES.get(function, {})
            _RULES[function] = {**before, method: rule}
        return rule

    return register


def register_join(*functions: Any) -> Callable[[Join], Join]:
    """Register a function of several arguments that depend on the input.

    Returns:
        A decorator for a function of the call and of the constants of its sources with respect to
        the network's input; it returns the result's.
    """

    def register(rule: Join) -> Join:
        _JOINS.update(dict.fromkeys(functions, rule))
        return rule

    return register


def function_norm(node: Node, method: Method = "certified") -> Norm | None:
    """Return the constant of a function's call; None for one that joins several values.

    Args:
        node: The call.
        method: As of `operator_norm`.
    """
    if node.discrete:
        return unknown(f"{function_name(node.target)}: its result jumps from number to number")
    if node.kwargs.get("out") is not None:
        return unknown(f"{function_name(node.target)}: writes into another tensor")
    rules = _RULES.get(node.target, {})
    rule = rules.get(method) or rules.get("certified")
    alone = node.sources == [argument(node, 0, "input")]
    if node.target in _JOINS and not (rule and alone):
        return None
    if rule is None:
        return _no_rule(node)
    if not alone:
        return _caught(node, _not_of_its_first)
    return _caught(node, lambda: rule(node))


def joined_norm(node: Node, norms: Mapping[Node, Norm]) -> Norm:
    """Return the constant of a function that joins values, with respect to the network's input."""
    return _caught(node, lambda: _JOINS[node.target](node, norms))


def argument(node: Node, index: int, name: str, default: Any = None) -> Any:
    """Return an argument of a call, given by its position or by its name."""
    return node.args[index] if len(node.args) > index else node.kwargs.get(name, default)


def named(*names: str) -> list[Any]:
    """Return the functions of torch, of `torch.nn.functional` and methods that have these names."""
    owners = (torch, functional, Tensor, torch.special)
    return [getattr(owner, name) for name in names for owner in owners if hasattr(owner, name)]


def root_above(square: Fraction | int) -> float:
    """Return the square root of a rational number, rounded upwards."""
    root = math.sqrt(square)
    while Fraction(root) ** 2 < square:
        root = math.nextafter(root, math.inf)
    return root


def _caught(node: Node, find: Callable[[], Norm]) -> Norm:
    """Return what a rule finds; a call for which it raises an error is unknown."""
    name = function_name(node.target)
    try:
        return find()
    except ValueError as error:
        return unknown(f"{name}: {error}")
    except Exception as error:
        return unknown(f"{name}: its rule fails for this call ({type(error).__name__}: {error})")


def _not_of_its_first() -> Norm:
    raise CannotBoundError("not its first argument alone depends on the input")


def _no_rule(node: Node) -> Norm:
    if node.target is None:
        return unknown("nothing is known of it")
    return unknown(f"{function_name(node.target)}: no rule for this function")
