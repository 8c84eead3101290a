"""Functions that move numbers, drop some, repeat some, or sum them up."""

from fractions import Fraction
from math import prod

import torch
from torch import Tensor
from torch.nn import functional

from lit_intriguing.lipschitz.graphs.functions import argument, named, register_function, root_above
from lit_intriguing.lipschitz.graphs.graph import Node, item, leaves, mapped
from lit_intriguing.lipschitz.norm import ONE, Norm
from lit_intriguing.lipschitz.registry import CannotBoundError

_MOVED = """flatten reshape permute transpose contiguous squeeze unsqueeze clone detach t movedim
moveaxis swapaxes swapdims ravel unflatten view_as reshape_as flip fliplr flipud roll pixel_shuffle
pixel_unshuffle channel_shuffle chunk split unbind tensor_split narrow select hsplit vsplit dsplit
squeeze_ unsqueeze_ transpose_ t_"""
_CAST = "float double half bfloat16 to type type_as cpu cuda requires_grad_ positive"
_NO_STEEPER = """neg negative neg_ abs absolute abs_ sin cos atan arctan asinh arcsinh amax amin
aminmax logsumexp sort"""
_ELEMENTWISE = "max min clamp clamp_ clip clip_ masked_fill masked_fill_"
_REPEATED = """expand expand_as broadcast_to repeat repeat_interleave tile index_select gather
take_along_dim unfold diagonal tril triu __getitem__"""
_DROPS = """dropout dropout1d dropout2d dropout3d alpha_dropout feature_alpha_dropout
dropout_ alpha_dropout_"""


@register_function(item, *named(*_MOVED.split(), *_CAST.split()))
@register_function(*(getattr(Tensor, name).__get__ for name in ("T", "mT", "H", "mH", "data")))
def moved(node: Node) -> Norm:
    """Return 1: each number goes to at most one place."""
    return ONE


@register_function(Tensor.view)
def viewed(node: Node) -> Norm:
    """Return 1, unless bits are read as those of another type."""
    if leaves(node.args, torch.dtype) or node.kwargs:
        raise CannotBoundError("reads bits as another type of number")
    return ONE


@register_function(*named(*_NO_STEEPER.split()))
def no_steeper(node: Node) -> Norm:
    """Return 1, the greatest slope; of `sort`, as equally ranked numbers are the nearest."""
    return ONE


@register_function(*named("topk"))
def largest(node: Node) -> Norm:
    """Return 1, as for `sort`.

    Raises:
        CannotBoundError: If the order is left open, which then may jump.
    """
    if not argument(node, 4, "sorted", True):
        raise CannotBoundError("not sorted, its numbers may come in any order")
    return ONE


@register_function(*named(*_ELEMENTWISE.split()))
def elementwise(node: Node) -> Norm:
    """Return 1, or more where the input is broadcast to the other argument's shape."""
    return Norm(growth(node.shape, node.sources[0].shape))


@register_function(*named(*_REPEATED.split()))
def repeated(node: Node) -> Norm:
    """Return the root of how often the most frequent number of the input occurs in the output."""
    source = node.sources[0]
    positions = torch.arange(1.0, 1 + prod(source.shape), dtype=torch.float64).view(source.shape)
    args, kwargs = mapped(
        (node.args, dict(node.kwargs)),
        Node,
        lambda each: positions if each is source else each.value.cpu(),
    )
    found: Tensor = node.target(*args, **kwargs)
    counts = torch.unique(found[found > 0], return_counts=True)[1]
    return Norm(root_above(int(counts.max()) if len(counts) else 0))


@register_function(functional.pad)
def padded(node: Node) -> Norm:
    """Return 1 for constants around the input; for copies of it as for `repeated`.

    Raises:
        CannotBoundError: If torch leaves numbers of the result unset, as a circular padding does
            of which a side is longer than what the other one's cropping leaves of the input.
    """
    mode = argument(node, 2, "mode", "constant")
    if mode == "constant":
        return ONE
    flat = argument(node, 1, "pad")  # the last dimension's two sides come first
    sides = zip(reversed(node.sources[0].shape), flat[::2], flat[1::2], strict=False)
    if mode == "circular" and any(
        max(before, after) > size + min(before, 0) + min(after, 0) for size, before, after in sides
    ):
        raise CannotBoundError("torch does not say what a circular pad does that also crops")
    return repeated(node)


@register_function(*named("mean"))
def mean(node: Node) -> Norm:
    """Return `1 / sqrt(n)`: a mean of n numbers has the gradient 1/n in each."""
    return Norm(root_above(1 / _joined(node)))


@register_function(*named("sum"))
def summed(node: Node) -> Norm:
    """Return `sqrt(n)`: a sum of n numbers has the gradient 1 in each."""
    return Norm(root_above(_joined(node)))


@register_function(*named(*_DROPS.split()))
def dropped(node: Node) -> Norm:
    """Return 1: nothing is dropped in evaluation.

    Raises:
        CannotBoundError: If it drops in evaluation, too.
    """
    dropouts = functional.dropout, functional.dropout1d, functional.dropout2d, functional.dropout3d
    default = node.target in dropouts
    training = node.kwargs.get("train", argument(node, 2, "training", default))
    if training and argument(node, 1, "p", 0.5) > 0:
        raise CannotBoundError("drops at random in evaluation, too")
    return ONE


def growth(shape: tuple[int, ...], source: tuple[int, ...]) -> float:
    """Return the root of how often broadcasting from the shape `source` to `shape` repeats."""
    before, after = prod(source), prod(shape)
    return root_above(Fraction(after, before)) if after > before else 1.0


def _joined(node: Node) -> Fraction:
    """Return how many numbers of the input make one of the output."""
    return Fraction(prod(node.sources[0].shape), max(1, prod(node.shape)))
