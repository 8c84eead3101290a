"""What is asked for: the attack, and the sets of rows that every model is shown."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from typing_extensions import override

from lit_intriguing.attacking.attack_rows import CHUNK
from lit_intriguing.attacking.job import default_attack
from lit_intriguing.attacking.settings import described
from lit_intriguing.attacks import Attack, Goal, RandomTargets
from lit_intriguing.errors import UsageError
from lit_intriguing.types import Bounds


@dataclass(frozen=True)
class SetName:
    """One set of rows, a line of the table.

    Attributes:
        kind: "clean", "adversarial", "amplified" or "noise".
        model: What the examples were made for; None for clean rows and noise.
        stddev: Root mean square of what was added, where that is given.
    """

    kind: str
    model: str | None = None
    stddev: float | None = None

    @property
    def title(self) -> str:
        """What the table calls it.

        >>> SetName("amplified", "FC10", 0.1).title, SetName("noise", None, 0.3).title
        ('for FC10, amplified to 0.1', 'noise 0.3')
        """
        if self.kind == "clean":
            return "clean"
        if self.kind == "noise":
            return f"noise {self.stddev:g}"
        amplified = "" if self.stddev is None else f", amplified to {self.stddev:g}"
        return f"for {self.model}{amplified}"


CLEAN = SetName("clean")


@dataclass(frozen=True)
class ExampleJob:
    """How the examples of each model are made; see `TransferMatrix` for the options."""

    attack: Attack = field(default_factory=default_attack)
    goal: Goal = field(default_factory=RandomTargets)
    bounds: Bounds | None = None
    only_correct: bool = False
    seed: int = 0
    chunk: int = CHUNK

    def check(self) -> None:
        """Refuses numbers out of range.

        Raises:
            UsageError: With the number.
        """
        if self.chunk < 1:
            raise UsageError(f"chunk must be at least 1, not {self.chunk}.")
        if self.seed < 0:
            raise UsageError(f"seed must not be negative: {self.seed}.")

    def examples_settings(self) -> dict[str, Any]:
        """What adversarial examples depend on beside model and rows, as plain values."""
        return {one.name: described(getattr(self, one.name)) for one in fields(ExampleJob)}

    def settings(self) -> dict[str, Any]:
        """What all results depend on beside models and rows, as plain values."""
        return {one.name: described(getattr(self, one.name)) for one in fields(self)}


@dataclass(frozen=True)
class TransferJob(ExampleJob):
    """How the sets are made; see `TransferMatrix` for the meaning of each option."""

    noise: tuple[float, ...] = ()
    amplify: tuple[float, ...] = ()
    clip: bool = False
    adversarial: bool = True

    @override
    def check(self) -> None:
        check_numbers("noise", "stddev", self.noise)
        check_numbers("amplify", "stddev", self.amplify)
        super().check()

    def sets(self, models: Iterable[str]) -> list[SetName]:
        """The lines of the table, in order: clean, adversarial, noise, amplified."""
        names = list(models) if self.adversarial else []
        return [
            CLEAN,
            *(SetName("adversarial", name) for name in names),
            *(SetName("noise", None, stddev) for stddev in self.noise),
            *(SetName("amplified", name, to) for to in self.amplify for name in names),
        ]


def check_numbers(option: str, kind: str, values: Sequence[float], *, zero: bool = False) -> None:
    """Refuses numbers that are no lengths, and one that is given twice.

    Args:
        option: Whose numbers they are.
        kind: What each of them is.
        values: The numbers.
        zero: Whether 0 is one, too.

    Raises:
        UsageError: With the number.
    """
    least = "at least 0" if zero else "positive"
    for value in values:
        if not 0 <= value < math.inf or (value == 0 and not zero):
            raise UsageError(f"{option}: a {kind} is {least} and finite, not {value}.")
    if len(set(values)) < len(values):
        raise UsageError(f"{option} holds a {kind} twice: {list(values)}.")
