"""Functions of several values: sums, concatenations, products."""

import math
from collections.abc import Mapping
from fractions import Fraction
from itertools import pairwise
from typing import Any

from torch import Tensor, nn

from lit_intriguing.lipschitz.graphs.constants import above, allowed_for, magnitudes
from lit_intriguing.lipschitz.graphs.functions import argument, named, register_join
from lit_intriguing.lipschitz.graphs.graph import Node
from lit_intriguing.lipschitz.graphs.moving import growth
from lit_intriguing.lipschitz.graphs.side_by_side import together
from lit_intriguing.lipschitz.norm import Norm, greatest, product, root_of_squares, total
from lit_intriguing.lipschitz.registry import CannotBoundError, operator_norm

Norms = Mapping[Node, Norm]


@register_join(*named("add", "add_", "sub", "sub_", "subtract", "rsub", "__radd__", "__rsub__"))
def added(node: Node, norms: Norms) -> Norm:
    """Return the sum of the terms' constants; what does not depend on the input adds nothing."""
    first, second = argument(node, 0, "input"), argument(node, 1, "other")
    alpha = node.kwargs.get("alpha", 1)
    if len(node.args) > 2 or not isinstance(alpha, int | float):
        raise CannotBoundError("a factor that is no Python number")
    reverse = getattr(node.target, "__name__", "") in ("rsub", "__rsub__")
    factors = (alpha, 1) if reverse else (1, alpha)
    terms = zip((first, second), factors, strict=True)
    return total([_grown(node, norms, term).times(by) for term, by in terms if _varies(term)])


def is_translation(node: Node) -> bool:
    """Return whether a node is its one source with a constant added, or taken off."""
    name = getattr(node.target, "__name__", "").strip("_")
    first = argument(node, 0, "input")
    if len(node.sources) != 1 or node.shape != node.sources[0].shape or len(node.args) > 2:
        return False
    if name in ("sub", "subtract"):
        return _varies(first)
    return name in ("add", "radd") and (_varies(first) or "alpha" not in node.kwargs)


@register_join(*named("cat", "concat", "concatenate", "stack", "hstack", "vstack", "dstack"))
def concatenated(node: Node, norms: Norms) -> Norm:
    """Return the constant of what is joined, as one value."""
    return together(node.sources, norms)


@register_join(*named("where", "maximum", "minimum", "fmax", "fmin", "max", "min"))
def chosen(node: Node, norms: Norms) -> Norm:
    """Return the constant of both as one value: each number follows one of two.

    A condition that depends on the input has an infinite constant.
    """
    if all(source.shape == node.shape for source in node.sources):
        return together(node.sources, norms)
    return root_of_squares([_grown(node, norms, source) for source in node.sources])


@register_join(*named("mul", "mul_", "multiply", "multiply_", "__rmul__"))
def multiplied(node: Node, norms: Norms) -> Norm:
    """Return the product with the largest element of a constant."""
    source, other = _one_that_varies(node)
    by = allowed_for(Norm(magnitudes(other)[1]), [other])
    return product([_grown(node, norms, source), by])


@register_join(*named("div", "div_", "divide", "true_divide", "true_divide_"))
def divided(node: Node, norms: Norms) -> Norm:
    """Return the quotient by the smallest element of a constant."""
    source, other = _one_that_varies(node)
    if source is not argument(node, 0, "input") or len(node.args) > 2:
        raise CannotBoundError("a quotient that is not by a constant")
    if node.kwargs.get("rounding_mode"):
        raise CannotBoundError("a quotient that is rounded")
    smallest = Fraction(magnitudes(other)[0])
    if smallest == 0:
        raise CannotBoundError("division by zero")
    by = allowed_for(Norm(above(1 / smallest)), [other])
    return product([_grown(node, norms, source), by])


@register_join(*named("matmul", "mm", "bmm", "mv", "__rmatmul__"))
def matrix_multiplied(node: Node, norms: Norms) -> Norm:
    """Return the product with the largest singular value of a constant matrix, or of several."""
    source, other = _one_that_varies(node)
    batches = (source.shape[:-2], other.shape[:-2], node.shape[:-2])
    if len(other.shape) > 2 and (
        len(source.shape) < 2 or any(a != b for a, b in pairwise(batches))
    ):
        raise CannotBoundError("one value multiplied by several matrices")
    matrices = other.value.reshape(-1, *other.shape[-2:]) if len(other.shape) > 1 else other.value
    found = greatest([_dense(matrix) for matrix in matrices.reshape(-1, *_sides(other.shape))])
    root = math.sqrt(min(_sides(other.shape)))
    return product([norms[source], allowed_for(found, [other], root)])


def _dense(matrix: Tensor) -> Norm:
    rows, columns = matrix.shape
    linear = nn.Linear(columns, rows, bias=False, device="meta", dtype=matrix.dtype)
    linear.weight = nn.Parameter(matrix, requires_grad=False)
    return operator_norm(linear, (matrix.shape[1],))


def _sides(shape: tuple[int, ...]) -> tuple[int, int]:
    return (shape[-2], shape[-1]) if len(shape) > 1 else (1, shape[0])


def _varies(value: Any) -> bool:
    return isinstance(value, Node) and value.varying


def _grown(node: Node, norms: Norms, source: Node) -> Norm:
    return product([norms[source], Norm(growth(node.shape, source.shape))])


def _one_that_varies(node: Node) -> tuple[Node, Any]:
    """Return the argument that depends on the input, and the other one.

    Raises:
        CannotBoundError: If both do.
    """
    first, second = argument(node, 0, "input"), argument(node, 1, "other", node.kwargs.get("mat2"))
    if _varies(first) and _varies(second):
        raise CannotBoundError("a product of two values that both depend on the input")
    return (first, second) if _varies(first) else (second, first)
