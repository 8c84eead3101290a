"""Norms of linear maps that treat each dimension by itself, from the maps along one."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.autograd import grad

from lit_intriguing.autograd import grad_island
from lit_intriguing.lipschitz.norm import Norm, greatest, product
from lit_intriguing.lipschitz.registry import CannotBoundError
from lit_intriguing.solvers.spectral.dense import certified_norm

Along = Callable[[Tensor], Tensor]

SMALL = 2**18
"""Entries of the largest matrix whose norm is found as that of a matrix."""
STEPS = 32
"""Power steps along more pixels; the bound holds after each, and most pools need one."""


def axis_norm(module: nn.Module, along: Along, size: int, *, signed: bool = False) -> Norm:
    """Bound the norm of a linear map along one dimension.

    Args:
        module: The layer, to name it.
        along: The map, of a batch `(N, size)` in float64 to one `(N, m)`.
        size: Pixels along the dimension.
        signed: Whether its matrix may have negative entries.

    Returns:
        `exact` for few pixels, `upper` for many.

    Raises:
        CannotBoundError: For many pixels, if the matrix may have negative entries.
        ValueError: If torch does not take so many pixels.
    """
    try:
        outputs = along(torch.zeros(1, size, dtype=torch.float64)).shape[1]
    except RuntimeError as error:
        raise ValueError(f"{type(module).__name__}: not with {size} pixels: {error}") from error
    if size * outputs <= SMALL:
        return Norm(float(certified_norm(along(torch.eye(size, dtype=torch.float64)))))
    if signed:
        raise CannotBoundError(f"its matrix of {size} x {outputs} numbers is too large")
    return Norm(_nonnegative_norm(along, size, outputs), "upper")


def separable(norms: Iterable[Norm]) -> Norm:
    """Return the constant of linear maps along different dimensions: their product, reached."""
    found = list(norms)
    return Norm(product(found).value, greatest(found).kind)


def _nonnegative_norm(along: Along, size: int, outputs: int) -> float:
    """Bound A by `|A|^2 <= max_i (A' A v)_i / v_i` for `A >= 0`, `v > 0` (Collatz, Wielandt)."""
    vector, best = torch.ones(size, dtype=torch.float64), torch.inf
    for _ in range(STEPS):
        image = _normal(along, vector)
        best = min(best, float((image / vector).max()))
        vector = (image / image.max()).clamp(min=1e-6)
    # Terms of one sign: each product with A or A' is off by at most a rounding a term.
    return float(best**0.5 * (1 + (size + outputs + 32) * 2.0**-52))


def _normal(along: Along, vector: Tensor) -> Tensor:
    with grad_island():
        pixels = vector.clone()[None].requires_grad_()
        image = along(pixels)
        return grad(image, pixels, image.detach())[0][0].detach()
