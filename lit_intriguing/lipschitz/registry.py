"""The Lipschitz constant of a layer: an open registry by exact type."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal, TypeVar, get_args

from torch import nn
from torch.nn.utils.parametrize import type_before_parametrizations

from lit_intriguing.lipschitz.norm import ONE, Norm, unknown
from lit_intriguing.lipschitz.unwrapped import changed_by

Shape = tuple[int, ...]
Rule = Callable[[nn.Module, Shape | None], Norm]
Check = Callable[[nn.Module, Shape | None], object]
M = TypeVar("M", bound=nn.Module)

Method = Literal["certified", "probable"]

_RULES: dict[type[nn.Module], dict[Method, Rule]] = {}
_CHECKS: dict[type[nn.Module], Check] = {}
_ONLY_CHECKED = ContextVar("_ONLY_CHECKED", default=False)


class CannotBoundError(ValueError):
    """A layer of a known type whose constant is not known; the message says why."""


def register_norm(
    *kinds: type[M],
    method: Method = "certified",
    check: Callable[[M, Shape | None], object] | None = None,
) -> Callable[[Callable[[M, Shape | None], Norm]], Callable[[M, Shape | None], Norm]]:
    """Register how the constant of a type of layer is found, in place of what was registered.

    Args:
        kinds: Layer types. Subclasses are not meant: they may override `forward`.
        method: Which of the constants `operator_norm` can be asked for. Most types have a certified
            one alone, which then stands for the probable one, too. A new certified rule takes the
            place of both.
        check: Raises what the rule would raise, but takes no time; `validate` calls it in place of
            the rule. Without it, `validate` calls the rule.

    Returns:
        A decorator for a function of the layer, in evaluation mode, and of the shape of one example
        `(C, ...)`, without the batch dimension, or None where it is not known. It returns a
        constant that holds for inputs of that shape, without a shape for any; or raises
        `CannotBoundError`.

    Raises:
        ValueError: For another method.
    """
    check_method(method)

    def register(
        rule: Callable[[M, Shape | None], Norm],
    ) -> Callable[[M, Shape | None], Norm]:
        for kind in kinds:
            before = {} if method == "certified" else _RULES.get(kind, {})
            _RULES[kind] = {**before, method: rule}  # type: ignore[dict-item]
            if method == "certified":
                _CHECKS.pop(kind, None)
            if check is not None:
                _CHECKS[kind] = check  # type: ignore[assignment]
        return rule

    return register


def operator_norm(
    module: nn.Module, input_shape: Shape | None = None, *, method: Method = "certified"
) -> Norm:
    """Bound the Lipschitz constant of a layer with respect to L2 norms.

    The constant is that of the layer in evaluation mode and in exact arithmetic, with its weights
    as they are. Weights are read in float64, whatever their type and device.

    Args:
        module: A layer of a type for which there is a rule. Its mode does not matter.
        input_shape: Shape of one example, without the batch dimension: `(C, H, W)` for a 2-D
            convolution. Without it the constant holds for all shapes, and where that needs more
            than is known, it is infinite.
        method: `"certified"`; or `"probable"`, of kind `probable`, where that may be tighter:
            of convolutions whose input's shape is known. A value of that kind is too low with
            probability `Norm.risk`, 1e-9 a layer. Other layers are certified, and a convolution
            may be, where its certified bound is the smaller one or memory for the other ends.

    Returns:
        What is known. An unknown type, a forward hook that may change the output, a method of the
        layer's type replaced on this one, weights that are no finite numbers, and the like are
        infinite, with the reason.

    Raises:
        ValueError: If `input_shape` does not fit the layer, or for another method.

    Examples:
        >>> operator_norm(nn.ReLU())
        Norm(value=1.0, kind='exact', risk=0.0, reason='')
        >>> operator_norm(nn.LSTM(3, 4)).reason
        'LSTM: no rule for this type of layer'
    """
    check_method(method)
    kind = type_before_parametrizations(module)
    rules = _RULES.get(kind, {})
    rule = rules.get(method) or rules.get("certified")
    if rule is None:
        return unknown(f"{kind.__name__}: no rule for this type of layer")
    why = next(filter(None, map(changed_by, module.modules())), "")
    if why:
        return unknown(f"{kind.__name__}: this one {why}")
    try:
        if _ONLY_CHECKED.get() and kind in _CHECKS:
            _CHECKS[kind](module, input_shape)
            return ONE
        return rule(module, input_shape)
    except CannotBoundError as error:
        return unknown(f"{kind.__name__}: {error}")


@contextmanager
def only_checked() -> Iterator[None]:
    """Let `operator_norm` compute no norm: it returns 1 where a layer's check raises nothing."""
    token = _ONLY_CHECKED.set(True)
    try:
        yield
    finally:
        _ONLY_CHECKED.reset(token)


def check_method(method: str) -> None:
    """Refuse a method that does not exist.

    Raises:
        ValueError: With those that do.
    """
    if method not in get_args(Method):
        raise ValueError(f"the method is {' or '.join(get_args(Method))}, not {method!r}.")


def has_rule(module: nn.Module) -> bool:
    """Return whether there is a rule for the module's exact type."""
    return type_before_parametrizations(module) in _RULES
