"""The Lipschitz constant of a layer: an open registry by exact type."""

from collections.abc import Callable
from typing import TypeVar

from torch import nn
from torch.nn.utils.parametrize import type_before_parametrizations

from lit_intriguing.lipschitz.norm import Norm, unknown
from lit_intriguing.lipschitz.plain import changed_by

Shape = tuple[int, ...]
Rule = Callable[[nn.Module, Shape | None], Norm]
M = TypeVar("M", bound=nn.Module)

_RULES: dict[type[nn.Module], Rule] = {}


class CannotBoundError(ValueError):
    """A layer of a known type whose constant is not known; the message says why."""


def register_norm(
    *kinds: type[M],
) -> Callable[[Callable[[M, Shape | None], Norm]], Callable[[M, Shape | None], Norm]]:
    """Say how the constant of a type of layer is found; the last one to say it is heard.

    Args:
        kinds: Layer types. Subclasses are not meant: they may override ``forward``.

    Returns:
        A decorator for a function of the layer, in the mode ``eval``, and of the shape of one
        example ``(C, ...)``, without the batch dimension, or None where it is not known. It returns
        a constant that holds for inputs of that shape, without it for any; or raises
        `CannotBoundError`.
    """

    def register(
        rule: Callable[[M, Shape | None], Norm],
    ) -> Callable[[M, Shape | None], Norm]:
        for kind in kinds:
            _RULES[kind] = rule  # type: ignore[assignment]
        return rule

    return register


def operator_norm(module: nn.Module, input_shape: Shape | None = None) -> Norm:
    """Bound the Lipschitz constant of a layer with respect to L2 norms.

    The constant is that of the layer in evaluation mode and in exact arithmetic, with its weights
    as they are. Weights are read in float64, whatever their type and device.

    Args:
        module: A layer of a type for which there is a rule. Its mode does not matter.
        input_shape: Shape of one example, without the batch dimension: ``(C, H, W)`` for a 2-D
            convolution. Without it the constant holds for all shapes, and where that needs more
            than is known, it is infinite.

    Returns:
        What is known. An unknown type, a forward hook that may change the output, a method of the
        layer's type replaced on this one, weights that are no finite numbers, and the like are
        infinite, with the reason.

    Raises:
        ValueError: If ``input_shape`` does not fit the layer.

    Examples:
        >>> operator_norm(nn.ReLU())
        Norm(value=1.0, kind='exact', risk=0.0, reason='')
        >>> operator_norm(nn.LSTM(3, 4)).reason
        'LSTM: no rule for this type of layer'
    """
    kind = type_before_parametrizations(module)
    rule = _RULES.get(kind)
    if rule is None:
        return unknown(f"{kind.__name__}: no rule for this type of layer")
    why = next(filter(None, map(changed_by, module.modules())), "")
    if why:
        return unknown(f"{kind.__name__}: this one {why}")
    try:
        return rule(module, input_shape)
    except CannotBoundError as error:
        return unknown(f"{kind.__name__}: {error}")


def has_rule(module: nn.Module) -> bool:
    """Whether there is a rule for the module's exact type."""
    return type_before_parametrizations(module) in _RULES
