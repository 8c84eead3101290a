"""Signs in the way of an attack through the examples (Pintor et al. 2022, section 3).

Each takes the loss that the attack is to decrease, or the success, at each step of one example:
`Trace` of `lit_intriguing.attacks.watch` holds both. They are for attacks that go step by step
within a ball; a search along a border goes up and down by design.
"""

import math

import torch
from torch import Tensor


def silent_success(success: Tensor) -> bool:
    """Return whether an attack passed by an adversarial example and returned something else.

    Args:
        success: At each call of the model, bool `(T,)`; the last is that of the result.
    """
    return bool(success[:-1].any()) and not bool(success[-1])


def break_point_angle(loss: Tensor) -> float:
    """Return how far a loss is from having settled: 0 where it has, 1 where it still falls.

    In the square of steps and losses, both scaled to [0, 1], the break point is the point that is
    farthest from the line from the curve's start to its end. The value is `|cos|` of the angle
    between its ways to both: a straight fall has 180 degrees, a fall that soon ends has 90.

    Args:
        loss: At each step, `(T,)`, T at least 3.

    Returns:
        From 0 to 1; NaN for a loss that never changes, or that is not finite, or of fewer steps.

    Examples:
        >>> break_point_angle(torch.linspace(3, -5, 20)) > 0.99
        True
        >>> break_point_angle(torch.tensor([1.0] + [0.0] * 19)) < 0.1
        True
    """
    y = _scaled(loss)
    if len(y) < 3 or not bool(y.isfinite().all()):
        return math.nan
    points = torch.stack([torch.linspace(0, 1, len(y), dtype=torch.float64), y], dim=1)
    start, end = points[0], points[-1]
    along = (end - start) / (end - start).norm()
    away = (points - start) - ((points - start) @ along).unsqueeze(1) * along
    # On a straight line every point is the break point: take the middle.
    far = away.norm(dim=1)
    broken = points[int(far.argmax())] if float(far.max()) > 1e-9 else points[len(y) // 2]
    one, other = start - broken, end - broken
    return abs(float((one @ other) / (one.norm() * other.norm())))


def increasing_loss(loss: Tensor) -> float:
    """Return which share of the way of a loss goes up, where it should go down.

    Pintor et al. (first version, 2021) take the area under these parts; the share does not depend
    on where they lie. Noisy gradients give one half, a step that is too large may give as much.

    Args:
        loss: At each step, `(T,)`.

    Returns:
        From 0 to 1; NaN for a loss that never changes or is not finite.

    Examples:
        >>> increasing_loss(torch.tensor([3.0, 1.0, 2.0, 1.0]))
        0.25
    """
    steps = loss.double().diff()
    total = float(steps.abs().sum())
    return float(steps.clamp(min=0).sum()) / total if 0 < total < math.inf else math.nan


def _scaled(loss: Tensor) -> Tensor:
    """Return a loss in [0, 1]; NaN where it never changes."""
    y = loss.double()
    return (y - y.min()) / (y.max() - y.min())
