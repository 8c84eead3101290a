"""The Lipschitz constant of a whole network: along its graph, and layer by layer."""

from functools import partial

from torch import nn

from lit_intriguing.lipschitz import graphs  # noqa: F401  they register their rules
from lit_intriguing.lipschitz.composition import Composition
from lit_intriguing.lipschitz.dense.layers import dense_stack
from lit_intriguing.lipschitz.dense.stack import stack_norm
from lit_intriguing.lipschitz.graphs.graph import Graph
from lit_intriguing.lipschitz.graphs.tracing import traced
from lit_intriguing.lipschitz.layer_bounds import NetworkNorm
from lit_intriguing.lipschitz.norm import Norm, product
from lit_intriguing.lipschitz.registry import (
    Method,
    Rule,
    Shape,
    check_method,
    operator_norm,
    register_norm,
)
from lit_intriguing.lipschitz.unwrapped import unwrapped


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
        input_shape: Shape of one example, without the batch dimension: `(3, 224, 224)`.
        joint: Whether to look for the tighter bound where the network is a stack of dense layers.
        method: As of `operator_norm`, for each layer and function. With `"probable"` the product
            is too low with at most the sum of the layers' risks as probability; the joint bound is
            always certified.
        layer_norm: What a layer is asked by, with the shape of its input or None; by default
            `operator_norm` with this method.

    Returns:
        The bounds. A layer or function without a rule, and control flow that depends on values,
        make the product infinite; its reason names them.

    Raises:
        ValueError: If the model is no module, does not take an example of this shape, returns no
            tensor, or has no weights yet; for another method.

    Examples:
        >>> model = nn.Sequential(nn.ReLU(), nn.Flatten(), nn.Tanh())
        >>> network_norm(model, (2, 3)).norm
        Norm(value=1.0, kind='exact', risk=0.0, reason='')
    """
    check_method(method)
    _check_arguments(model, input_shape)
    model = unwrapped(model)
    graph = traced(model, tuple(input_shape))
    layer_norm = layer_norm or partial(operator_norm, method=method)
    found = Composition(model, graph, layer_norm, method)
    together = _joint(graph) if joint else None
    return NetworkNorm(tuple(found.layers()), found.product(), together)


def _check_arguments(model: object, input_shape: object) -> None:
    if not isinstance(model, nn.Module):
        raise ValueError(
            f"network_norm bounds a torch.nn.Module, not a {type(model).__name__}: put a function "
            "into the forward of a module, and its parameters into attributes."
        )
    if isinstance(input_shape, int):
        raise ValueError(
            f"input_shape is the shape of one example, without the batch: write ({input_shape},)."
        )


@register_norm(nn.Sequential)
def sequential(module: nn.Sequential, shape: Shape | None) -> Norm:
    """Bound it along its graph; without a shape, by the product of its layers."""
    return _in_a_row(module, shape, "certified")


@register_norm(nn.Sequential, method="probable")
def probable_sequential(module: nn.Sequential, shape: Shape | None) -> Norm:
    """Bound it likewise by probable constants."""
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
