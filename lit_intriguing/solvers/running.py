"""What the three solvers share: checks of their options, and the loop around their steps."""

from collections.abc import Callable
from typing import Protocol

from torch import Tensor

from lit_intriguing.solvers.slots import Slots


class Search(Protocol):
    """Many problems under way."""

    slots: Slots

    def step(self) -> int:
        """Take one step in each slot; returns how many problems were finished by it."""


def check(x0: Tensor, **at_least_one: int | None) -> None:
    """Raise for options that are out of their range.

    Args:
        x0: First points.
        at_least_one: Numbers that must be at least 1, by their names.

    Raises:
        ValueError: If ``x0`` is not floating point of shape ``(N, D)`` or a number is less than 1.
    """
    if x0.ndim != 2 or not x0.is_floating_point():
        raise ValueError(
            f"x0 must be floating point of shape (N, D), not {x0.dtype} of {tuple(x0.shape)}."
        )
    for name, value in at_least_one.items():
        if value is not None and value < 1:
            raise ValueError(f"{name} must be at least 1, not {value}.")


def run(search: Search, on_finished: Callable[[int], None] | None) -> None:
    """Step until all problems are finished.

    Args:
        search: The problems.
        on_finished: Told how many problems have just been finished.
    """
    while search.slots:
        finished = search.step()
        if on_finished is not None and finished:
            on_finished(finished)
