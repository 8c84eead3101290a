"""Numbers and tensors that a forward pass multiplies or divides by."""

import math
from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction
from typing import Any

import torch

from lit_intriguing.lipschitz.graphs.graph import Node
from lit_intriguing.lipschitz.graphs.recorder import function_name
from lit_intriguing.lipschitz.norm import Kind, Norm
from lit_intriguing.lipschitz.registry import CannotBoundError

ROUNDINGS = 16
"""Roundings of its type by which a constant that the forward pass computes is taken to be off."""

_MEASURED = 2.0**-49
"""Relative error of a magnitude that is itself rounded: of complex and of large whole numbers."""

# What comes out of these was there before: it is not rounded, or is a constant of that type.
_NOT_COMPUTED = """item view view_as flatten unflatten reshape reshape_as permute transpose t T mT
contiguous squeeze unsqueeze clone detach data expand expand_as movedim moveaxis swapaxes swapdims
chunk split unbind narrow select flip roll float double to type type_as cpu cuda getitem repeat tile
stack cat index_select neg negative zeros_like ones_like full_like new_zeros new_ones new_full
new_tensor"""


def magnitudes(constant: Any) -> tuple[float, float]:
    """Return bounds of the least and of the greatest magnitude in a constant.

    Args:
        constant: A number, as Python has it: it is not rounded to the type of the tensor that it is
            multiplied with; or a node that does not depend on the input.

    Raises:
        CannotBoundError: If it is empty, not finite, not known, or no number.
    """
    if isinstance(constant, int | float) and math.isfinite(constant):
        size = abs(Fraction(constant))
        return below(size), above(size)
    value = constant.value if isinstance(constant, Node) else torch.tensor(constant)
    exact = value.is_floating_point()
    wide = value.detach().cpu().to(torch.complex128 if value.is_complex() else torch.float64)
    if not wide.numel() or not bool(wide.isfinite().all()):
        raise CannotBoundError("a constant that is empty or not finite")
    sizes, error = wide.abs(), 0.0 if exact else _MEASURED
    return float(sizes.min()) * (1 - error), float(sizes.max()) * (1 + error)


def allowed_for(norm: Norm, constants: Iterable[Any], root: float = 1.0) -> Norm:
    """Increase a bound because the constants that it was found from are rounded.

    The function that is bounded is that of exact arithmetic with the weights as they are. A
    constant that the forward pass computes from them is known as it comes out in its type: that
    each of its numbers is off by up to `ROUNDINGS` is allowed for, not proved.

    Args:
        norm: A bound, proportional to the constants.
        constants: As of `magnitudes`.
        root: By what the norm of a matrix can be smaller than that of its magnitudes.

    Returns:
        At best of kind `upper` where one is computed; as it was, where none is.
    """
    values = [one.value for one in constants if is_computed(one)]
    exact = (torch.finfo(one.dtype).eps for one in values if one.is_floating_point())
    error = max(exact, default=0.0)
    if not error:
        return norm
    kind: Kind = "upper" if norm.kind == "exact" else norm.kind
    return replace(norm.times(1 + 2 * ROUNDINGS * error * root), kind=kind)


def is_computed(constant: Any) -> bool:
    """Return whether a constant is computed in the forward pass, not just taken or moved."""
    if not isinstance(constant, Node) or constant.known is not None or not constant.inputs:
        return False
    name = function_name(constant.target)
    return name not in _NOT_COMPUTED.split() or any(is_computed(each) for each in constant.inputs)


def above(value: Fraction) -> float:
    """Return the least number of float64 that is not below.

    Raises:
        CannotBoundError: If there is none.
    """
    rounded = _rounded(value)
    return rounded if Fraction(rounded) >= value else math.nextafter(rounded, math.inf)


def below(value: Fraction) -> float:
    """Return the greatest number of float64 that is not above; see `above`."""
    rounded = _rounded(value)
    return rounded if Fraction(rounded) <= value else math.nextafter(rounded, 0.0)


def _rounded(value: Fraction) -> float:
    try:
        return float(value)
    except OverflowError as error:
        raise CannotBoundError("a constant so large, or so small, that float64 ends") from error
