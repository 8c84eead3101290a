"""What is asked for: how the examples of each model are made."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from lit_intriguing.attacks import Attack, Goal, RandomTargets
from lit_intriguing.attacks.attack_tensors import CHUNK
from lit_intriguing.commands.attack.job import default_attack
from lit_intriguing.errors import UsageError
from lit_intriguing.splits.fingerprint import described
from lit_intriguing.types import Bounds


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
