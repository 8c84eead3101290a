"""The box of the bounds, seen as [0, 1]."""

import torch
from torch import Tensor

from lit_intriguing.types import Bounds


class UnitBox:
    """Maps a box onto [0, 1], element by element, and back.

    Args:
        bounds: A finite box; with [0, 1] itself nothing but the dtype is changed.
        x: The examples, `(N, *S)`, inside the box but for rounding.
        asked_by: Who needs the box, for the message.

    Raises:
        ValueError: If a limit is infinite.
    """

    def __init__(self, bounds: Bounds, x: Tensor, asked_by: str) -> None:
        lower, upper = bounds.tensors_like(x)
        if not bool(lower.isfinite().all() and upper.isfinite().all()):
            raise ValueError(
                f"{asked_by} searches inside a finite box, but the bounds are {bounds.lower} .. "
                f"{bounds.upper}. Give finite bounds that the tensor stays in, such as Bounds(0.0, "
                "1.0) for the output of a sigmoid, or take an attack of this package."
            )
        self._x = x
        self._lower, width = lower, upper - lower
        self._identity = bool((lower == 0).all() and (upper == 1).all())
        # An element without room stays where it is.
        self._width = torch.where(width > 0, width, 1.0)
        self._movable = width > 0
        unit = x if self._identity else (x - lower) / self._width
        # Many libraries mix in float32 tensors of their own, and fail with any other dtype.
        self.seen = unit.float().clamp(0, 1)

    def back(self, seen: Tensor) -> Tensor:
        """Return points of [0, 1], shape `(M, *S)`, in the box and the dtype of `x`."""
        points = seen.to(self._x.dtype)
        if self._identity:
            return points
        return self._lower + points * torch.where(self._movable, self._width, 0.0)

    def result(self, seen: Tensor) -> Tensor:
        """Return the same for the N examples; elements that did not move are those of `x`."""
        return torch.where(seen == self.seen, self._x, self.back(seen))


def box_width(bounds: Bounds, asked_by: str) -> float:
    """Return the width of a box that is as wide everywhere.

    Args:
        bounds: The box.
        asked_by: Who counts sizes in widths of it, for the message.

    Raises:
        ValueError: If its widths differ, or are infinite: a size in the units of the tensor is then
            none in widths of the box.

    >>> box_width(Bounds(-1.0, 1.0), "an attack")
    2.0
    """
    lower, upper = (torch.as_tensor(one, dtype=torch.float64) for one in bounds.limits)
    widths = upper - lower
    if not bool(widths.isfinite().all()) or not bool((widths == widths.flatten()[0]).all()):
        raise ValueError(
            f"{asked_by} counts sizes in widths of the box, and {bounds} is not as wide "
            "everywhere: let the model normalise its inputs itself, so that the bounds are [0, 1]."
        )
    return float(widths.flatten()[0])
