"""The arguments of an attack's call: what is taken for what, and what is refused."""

from collections.abc import Sequence

import torch
from torch import Tensor

from lit_intriguing.attacks.criterion import Criterion
from lit_intriguing.types import Bounds

BoundsLike = Bounds | tuple[float, float]
"""Bounds, or the lower and the upper limit."""


def as_bounds(bounds: BoundsLike | None) -> Bounds:
    """Return the box; [0, 1] where None is given, and of a pair the box between its numbers.

    Raises:
        ValueError: For anything else.
    """
    if bounds is None:
        return Bounds()
    if isinstance(bounds, Bounds):
        return bounds
    if isinstance(bounds, Sequence) and len(bounds) == 2:
        return Bounds(*bounds)
    raise ValueError(
        f"bounds must be Bounds(lower, upper) or a pair (lower, upper), not {bounds!r}."
    )


def check_criterion(criterion: Criterion, count: int) -> None:
    """Raise if `criterion` is none, or not one of `count` examples.

    Raises:
        ValueError: With what to write.
    """
    if not isinstance(criterion, Criterion):
        raise ValueError(
            "criterion must be Untargeted(labels), to lead away from labels, or Targeted(labels), "
            f"to lead to them, not a {type(criterion).__name__}."
        )
    if len(criterion) != count:
        raise ValueError(f"{count} examples, but the criterion has {len(criterion)} labels.")


def check_examples(x: Tensor) -> None:
    """Raise if `x` is not a floating-point tensor.

    Raises:
        ValueError: With what to write.
    """
    if not isinstance(x, Tensor):
        raise ValueError(
            f"The examples are a {type(x).__name__}: convert them to a tensor of the model's "
            "dtype, such as torch.as_tensor(x).float()."
        )
    if not x.is_floating_point():
        raise ValueError(
            f"The examples are {x.dtype}: convert them to floating point, images of 0 .. 255 "
            "by x.float() / 255."
        )


def check_inside(x: Tensor, bounds: Bounds, slack: float = 1e-6) -> None:
    """Raise if an example lies outside the bounds; one that holds NaN lies nowhere and passes.

    Args:
        x: Examples of shape `(N, *S)`.
        bounds: The box.
        slack: What rounding may add: absolute, or relative to a box wider than 1.

    Raises:
        ValueError: With the measured range and what to do.
    """
    if not bounds.finite:
        return
    lower, upper = bounds.tensors_like(x)
    widths = upper.float() - lower.float()
    widest = max(1.0, widths.where(widths.isfinite(), 1.0).max().item())
    if bool(bounds.contains(x, slack * widest).all()):
        return
    x = x[~torch.isnan(x).flatten(1).any(1)]
    if bool(bounds.contains(x, slack * widest).all()):
        return
    least, most = x.min().item(), x.max().item()
    advice = (
        "If they were normalised, give the bounds in the same units, per channel: "
        "lower=[(0 - mean) / std, ...], upper=[(1 - mean) / std, ...]."
    )
    if least >= 0 and 20 < most <= 255:
        advice = "If they are pixels of 0 to 255, divide them by 255, or give upper=255."
    raise ValueError(
        f"The inputs range from {least:.4g} to {most:.4g} and leave the bounds "
        f"{bounds.lower} .. {bounds.upper}. {advice}"
    )
