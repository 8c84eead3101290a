"""The attack as the paper tells it: SciPy's L-BFGS-B, an image at a time, c by bisection.

Szegedy et al. 2013, section 4.1: minimise `c|r| + loss(x + r, target)` in the box, and search
for the boundary c. Everything in double precision, each solve from the clean image.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

Model = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Minimum:
    """A minimiser of the penalised loss in the box [0, 1].

    Attributes:
        x: Shape `(*S)`, double.
        value: Of the objective.
        evaluations: Of the objective and its gradient.
    """

    x: Tensor
    value: float
    evaluations: int


def minimise(
    model: Model,
    x: Tensor,
    target: int,
    c: float,
    *,
    squared: bool = False,
    loss: Callable[[Tensor], Tensor] | None = None,
) -> Minimum:
    """Minimise `c|r| + loss`, or `c|r|^2 + loss`, over `x + r` in [0, 1].

    Args:
        model: Takes images `(1, *S)` in double precision to logits.
        x: One image, `(*S)`.
        target: The label wanted.
        c: Weight of the penalty, `|r|` the L2 norm in pixels.
        squared: Whether to square the norm.
        loss: Of logits `(1, C)`; the default is the cross-entropy to the target.
    """
    clean = x.detach().double()
    label = torch.tensor([target], device=x.device)
    loss = loss or (lambda logits: F.cross_entropy(logits, label))

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        point = torch.from_numpy(flat).to(clean.device).view_as(clean).requires_grad_()
        value = loss(model(point.unsqueeze(0)))
        (gradient,) = torch.autograd.grad(value, point)
        r = point.detach() - clean
        penalty, slope = _penalty(r, gradient, c, squared)
        return value.item() + penalty, slope.flatten().cpu().numpy()

    start = clean.flatten().cpu().numpy()
    found = minimize(objective, start, jac=True, method="L-BFGS-B", bounds=[(0, 1)] * start.size)
    point = torch.from_numpy(found.x).to(clean.device).view_as(clean)
    return Minimum(point, float(found.fun), int(found.nfev))


def _penalty(r: Tensor, gradient: Tensor, c: float, squared: bool) -> tuple[float, Tensor]:
    """Return the penalty, and the slope of penalty and loss together."""
    length = r.norm().item()
    if squared:
        return c * length**2, gradient + 2 * c * r
    if length:
        return c * length, gradient + c / length * r
    # At r = 0 the norm has many subgradients: take the shortest slope.
    steepness = gradient.norm().item()
    return 0.0, gradient * max(0.0, 1 - c / steepness) if steepness else gradient


def attack(
    model: Model,
    x: Tensor,
    target: int,
    reached: Callable[[Tensor], bool],
    *,
    squared: bool = False,
    tolerance: float = 1e-3,
    c: float = 1.0,
) -> Tensor:
    """Return the nearest of all minimisers with the target's label, the clean image if none.

    Args:
        model: As in `minimise`.
        x: One image, `(*S)`.
        target: The label wanted.
        reached: Whether an image of `x`'s dtype has the label.
        squared: Whether the penalty is `c|r|^2`.
        tolerance: Where the bisection of the largest c that succeeds stops, relative to c.
        c: The first one tried; powers of ten from it bracket the boundary.
    """
    best, least = x, math.inf

    def succeeds(c: float) -> bool:
        nonlocal best, least
        point = minimise(model, x, target, c, squared=squared).x.to(x.dtype)
        success = reached(point)
        if success and (point - x).norm().item() < least:
            best, least = point, (point - x).norm().item()
        return success

    low, high = _bracket(succeeds, c)
    while high > low * (1 + tolerance):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if succeeds(middle) else (low, middle)
    return best


def _bracket(succeeds: Callable[[float], bool], c: float) -> tuple[float, float]:
    """Return a c that succeeds and ten times it, which fails; twice the same where none does."""
    if succeeds(c):
        while succeeds(10 * c):
            c *= 10
        return c, 10 * c
    for _ in range(10):
        c /= 10
        if succeeds(c):
            return c, 10 * c
    return c, c
