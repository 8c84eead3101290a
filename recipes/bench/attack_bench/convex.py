"""The smallest perturbation that takes softmax regression to a target, proved by its multipliers.

With logits `W x + b` the problem is convex::

    minimise 1/2 |x - x0|^2  with  A x + b >= 0  and  x in [0, 1],   rows of A: w_target - w_j

and so has a dual in as many variables as there are wrong labels: `x(m) = clip(x0 + A^T m)` for
multipliers `m >= 0`. The dual is concave and piecewise quadratic; projected Newton steps end
after a few (Bertsekas 1982, Projected Newton methods).
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

STEPS, HALVINGS = 200, 40
EMPTY = 1e-12
"""Residual of the least squares below which no point meets the conditions."""


@dataclass(frozen=True)
class Nearest:
    """A solution and its proof.

    Attributes:
        x: Shape `(D,)`.
        multipliers: Shape `(C - 1,)`, not negative.
        residual: The most by which a condition of Karush, Kuhn and Tucker fails: a margin below
            zero, or a multiplier times its margin. The others hold by construction.
    """

    x: np.ndarray
    multipliers: np.ndarray
    residual: float


def nearest(
    weight: np.ndarray, bias: np.ndarray, x: np.ndarray, target: int, tolerance: float = 1e-10
) -> Nearest:
    """Return the nearest point of [0, 1]^D at which no logit exceeds the target's.

    Args:
        weight: Shape `(C, D)`.
        bias: Shape `(C,)`.
        x: Shape `(D,)`, in the box.
        target: The label wanted.
        tolerance: The residual at which to stop.

    Raises:
        ValueError: If no solution is found, as where the box holds none.
    """
    others = np.arange(len(weight)) != target
    a = (weight[target] - weight[others]).astype(np.float64)
    b = (bias[target] - bias[others]).astype(np.float64)
    clean = x.astype(np.float64)
    m = np.zeros(len(a))
    for _ in range(STEPS):
        point, margins = _primal(a, b, clean, m)
        residual = float(max(0.0, (-margins).max(), np.abs(m * margins).max()))
        if residual <= tolerance:
            return Nearest(point, m, residual)
        m = _improved(a, b, clean, m)
    m = _by_least_squares(a, b, clean)
    point, margins = _primal(a, b, clean, m)
    residual = float(max(0.0, (-margins).max(), np.abs(m * margins).max()))
    if residual <= tolerance:
        return Nearest(point, m, residual)
    raise ValueError(f"no solution: after {STEPS} steps a condition still fails by {residual:.1e}")


def _by_least_squares(a: np.ndarray, b: np.ndarray, clean: np.ndarray) -> np.ndarray:
    """Return the multipliers by least-distance programming, for where the steps above go round.

    Lawson and Hanson 1974, Solving Least Squares Problems, chapter 23: the nearest point of a
    polyhedron `G z >= h` to the origin, by one problem of non-negative least squares.
    """
    one = np.eye(len(clean))
    sides = np.vstack([a, one, -one])
    limits = np.concatenate([-(a @ clean + b), -clean, clean - 1])
    wanted = np.append(np.zeros(len(clean)), 1.0)
    u, _ = nnls(np.vstack([sides.T, limits]), wanted)
    rest = 1 - limits @ u  # the residual's last entry: zero where no point meets all conditions
    return u[: len(a)] / rest if rest > EMPTY else np.zeros(len(a))


def _primal(
    a: np.ndarray, b: np.ndarray, clean: np.ndarray, m: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    point = np.clip(clean + m @ a, 0, 1)
    return point, a @ point + b


def _cost(a: np.ndarray, b: np.ndarray, clean: np.ndarray, m: np.ndarray) -> float:
    """Return minus the dual function."""
    point, margins = _primal(a, b, clean, m)
    return float(m @ margins - 0.5 * np.sum((point - clean) ** 2))


def _improved(a: np.ndarray, b: np.ndarray, clean: np.ndarray, m: np.ndarray) -> np.ndarray:
    """Return the multipliers after a projected Newton step of the dual."""
    _, margins = _primal(a, b, clean, m)
    free = (m > 0) | (margins < 0)
    unclipped = clean + m @ a
    # The edges count as inside: at the start every pixel of a black and white image is at one.
    inside = a[free][:, (unclipped >= 0) & (unclipped <= 1)]
    curvature = inside @ inside.T
    curvature += np.eye(len(curvature)) * (1e-12 * np.trace(curvature) + 1e-300)
    step = np.zeros_like(m)
    step[free] = -np.linalg.solve(curvature, margins[free])
    start, t = _cost(a, b, clean, m), 1.0
    rounding = 1e-14 * (1 + abs(start))
    for _ in range(HALVINGS):
        moved = np.maximum(m + t * step, 0)
        if _cost(a, b, clean, moved) <= start + 1e-4 * float(margins @ (moved - m)) + rounding:
            return moved
        t /= 2
    return moved
