"""What the three solvers share: checks of their options, and slots filled again and again."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Protocol, final

from torch import Tensor

from lit_intriguing.solvers.batch_state import Slots


class Part(Protocol):
    """Something that a search stores for each of its slots."""

    def keep(self, slots: Tensor) -> None:
        """Drop all slots but these (an index)."""


class Search(ABC):
    """Many problems under way.

    Args:
        x0: First points of all N, `(N, D)`.
        slots: Problems worked on at a time.

    Attributes:
        slots: Which problem each slot works on.
    """

    def __init__(self, x0: Tensor, slots: int) -> None:
        self._x0 = x0
        self.slots = Slots(len(x0), slots, x0.device)

    @property
    @abstractmethod
    def parts(self) -> Sequence[Part]:
        """All that is stored for each slot, except the slots themselves."""

    @abstractmethod
    def step(self) -> int:
        """Take one step in each slot; return how many problems were finished by it."""

    @abstractmethod
    def write(self, slots: Tensor, problems: Tensor) -> None:
        """Write the results of some slots (an index) down as those of the problems `problems`."""

    @abstractmethod
    def load(self, slots: Tensor, problems: Tensor) -> None:
        """Start the problems `problems` in some slots (an index)."""

    @final
    def finish(self, slots: Tensor) -> int:
        """Write down what some slots (an index) found, and give resting slots new problems."""
        if not len(slots):
            return 0
        self.write(slots, self.slots.problems[slots])
        filled = self.slots.finish(slots)
        if len(filled):
            self.load(filled, self.slots.problems[filled])
        keep = self.slots.worth_keeping()
        if keep is not None:
            for part in (self.slots, *self.parts):
                part.keep(keep)
        return len(slots)


def check(x0: Tensor, **at_least_one: int | None) -> None:
    """Raise for options that are out of their range.

    Args:
        x0: First points.
        at_least_one: Numbers that must be at least 1, by their names.

    Raises:
        ValueError: If `x0` is not floating point of shape `(N, D)` or a number is less than 1.
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
        on_finished: Called with the number of problems that have just been finished.
    """
    while search.slots:
        finished = search.step()
        if on_finished is not None and finished:
            on_finished(finished)
