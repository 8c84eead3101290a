"""The slow reference methods of the benchmark `recipes/bench/attacks.py`, for tests, and DDN.

`scipy_loop.minimise` solves the paper's problem at a fixed c, `scipy_loop.attack` searches for c,
`convex.nearest` gives the exact optimum for softmax regression with its proof.
"""

import importlib
import math
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

BENCH = Path(__file__).parents[1] / "recipes" / "bench"
if str(BENCH) not in sys.path:
    sys.path.append(str(BENCH))

convex = importlib.import_module("attack_bench.convex")
scipy_loop = importlib.import_module("attack_bench.scipy_loop")


def ddn(
    model: Callable[[Tensor], Tensor],
    x: Tensor,
    targets: Tensor,
    steps: int = 100,
    rate: float = 1.0,
) -> Tensor:
    """The nearest examples in [0, 1] with the labels `targets`, by DDN (Rony et al. 2019, alg. 1).

    The step falls from `rate` to a hundredth of it by a cosine, the radius changes by 5% a step.

    Returns:
        Their distances, `(N,)`, infinite where there is none.
    """
    r, radius = torch.zeros_like(x), x.new_ones(len(x))
    nearest = x.new_full((len(x),), torch.inf)
    shape = (-1, *[1] * (x.ndim - 1))
    for step in range(steps):
        point = (x + r).clamp(0, 1).requires_grad_()
        logits = model(point)
        loss = torch.nn.functional.cross_entropy(logits, targets, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, point)
        met, distance = logits.argmax(1) == targets, (point.detach() - x).flatten(1).norm(dim=1)
        nearest = torch.where(met & (distance < nearest), distance, nearest)
        length = gradient.flatten(1).norm(dim=1).clamp(min=1e-12)
        share = 0.01 + 0.99 * (1 + math.cos(math.pi * step / steps)) / 2
        r = r - rate * share * gradient / length.view(shape)
        radius = radius * torch.where(met, 0.95, 1.05)
        r = r * (radius / r.flatten(1).norm(dim=1).clamp(min=1e-12)).view(shape)
        r = (x + r).clamp(0, 1) - x
    return nearest
