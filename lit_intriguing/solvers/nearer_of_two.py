"""A second search for the nearest point, from a smoother start, where the first found it hard."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from lit_intriguing.solvers.box import Limit
from lit_intriguing.solvers.nearest import Constraint, Nearest, Stage, nearest_point

_SMOOTHER = 3.0
"""The first stage of the second search is so much smoother than that of the first."""


def nearer_of_two(
    fun: Constraint,
    x0: Tensor,
    lower: Limit,
    upper: Limit,
    *,
    unit: Tensor,
    stages: Sequence[Stage],
    easy: int,
    memory: int = 5,
    slots: int = 256,
    beaten_at: Tensor | None = None,
    on_finished: Callable[[int], None] | None = None,
) -> Nearest:
    """Find the nearest point as `nearest_point` does, twice where it is hard to find.

    Where the constraint is rough there are many local minima, and which is met depends on the first
    steps. A problem that took more than `easy` gradients is searched a second time, with a smoother
    stage before the others; that search is given up where, after a stage, it is hardly nearer than
    the first one was. The nearer point is returned.

    Args:
        fun: The constraint.
        x0: Points to stay near to, in the box, `(N, D)`.
        lower: Lower limit: a number or `(D,)`; may be infinite.
        upper: Upper limit, likewise.
        unit: Of the smoothing, positive, `(N,)`.
        stages: The continuation.
        easy: Gradients with which a first search is good enough.
        memory: Pairs of the L-BFGS matrix.
        slots: Problems worked on at a time.
        beaten_at: See `nearest_point`.
        on_finished: Called with the number of problems whose first search has just finished.

    Returns:
        The solutions. `evaluations` counts both searches, `after_stages` is of the first.

    Raises:
        ValueError: As `nearest_point` does.
    """
    found = nearest_point(
        fun, x0, lower, upper, unit=unit, stages=stages, memory=memory, slots=slots,
        beaten_at=beaten_at, on_finished=on_finished,
    )  # fmt: skip
    hard = found.success & (found.evaluations > easy)
    if beaten_at is not None:  # a point that another one beats needs no second search
        hard = hard & (found.value < beaten_at)
    problems = hard.nonzero().squeeze(1)
    if len(problems):
        first = replace(stages[0], smoothing=_SMOOTHER * stages[0].smoothing)
        known = found.after_stages[problems]
        second = nearest_point(
            lambda x, indices, smoothing: fun(x, problems[indices], smoothing),
            x0[problems], lower, upper, unit=unit[problems], stages=(first, *stages),
            memory=memory, slots=slots,
            rival=torch.cat([torch.full_like(known[:, :1], torch.inf), known], dim=1),
        )  # fmt: skip
        _take_nearer(found, problems, second)
    return found


def _take_nearer(found: Nearest, problems: Tensor, second: Nearest) -> None:
    """Put what a second search of some problems (an index) found into the first's solutions."""
    found.evaluations[problems] += second.evaluations
    nearer = (second.success & (second.value < found.value[problems])).nonzero().squeeze(1)
    where = problems[nearer]
    for name in ("point", "value", "status", "margin", "multiplier"):
        getattr(found, name)[where] = getattr(second, name)[nearer]
