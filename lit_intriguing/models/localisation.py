"""How local the filters of a layer are: strokes, not whole images."""

from math import isqrt

from torch import Tensor
from torch.nn.functional import avg_pool2d

from lit_intriguing.errors import UserError

SHARE = 3 / 8
"""Side of the window, as a share of the image's: about 10 of 28 pixels."""


def localisation(filters: Tensor) -> Tensor:
    """Return the largest share of each filter's squared weights within one square window.

    The window's side is three eighths of the image's, so that uniform weights give about 0.14
    (0.128 on 28x28 pixels); a filter inside one window gives 1, whatever its signs.

    Args:
        filters: `(units, D)`, D the square of an integer of at least 2.

    Returns:
        `(units,)` in [0, 1]; 0 for a filter of zeros.

    Raises:
        UserError: If D is not such a square.

    Examples:
        >>> import torch
        >>> localisation(torch.eye(64)[:2])
        tensor([1., 1.])
        >>> localisation(torch.ones(1, 64))
        tensor([0.1406])
    """
    side = isqrt(filters.shape[1])
    if filters.ndim != 2 or side < 2 or side * side != filters.shape[1]:
        raise UserError(
            f"filters of shape {tuple(filters.shape)} are not square images: localisation needs "
            "(units, side * side)"
        )
    window = max(1, round(SHARE * side))
    energy = filters.detach().square().view(-1, 1, side, side)
    inside = avg_pool2d(energy, window, stride=1, divisor_override=1).flatten(1).amax(1)
    total = energy.flatten(1).sum(1)
    return (inside / total.clamp_min(total.new_tensor(1e-30))).clamp(max=1.0)
