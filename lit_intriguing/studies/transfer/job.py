"""What is asked for: the attack, and the sets of rows that every model is shown."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

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


@dataclass(frozen=True)
class TransferJob:
    """How the sets are made; see `TransferMatrix` for the meaning of each option."""

    attack: Attack = field(default_factory=default_attack)
    goal: Goal = field(default_factory=RandomTargets)
    bounds: Bounds | None = None
    only_correct: bool = False
    noise: tuple[float, ...] = ()
    amplify: tuple[float, ...] = ()
    clip: bool = False
    seed: int = 0
    chunk: int = CHUNK
    adversarial: bool = True

    def check(self) -> None:
        """Refuses numbers out of range.

        Raises:
            UsageError: With the number.
        """
        for name, values in (("noise", self.noise), ("amplify", self.amplify)):
            for value in values:
                if not 0 < value < math.inf:
                    raise UsageError(f"{name}: a stddev is positive and finite, not {value}.")
            if len(set(values)) < len(values):
                raise UsageError(f"{name} holds a stddev twice: {list(values)}.")
        if self.chunk < 1:
            raise UsageError(f"chunk must be at least 1, not {self.chunk}.")
        if self.seed < 0:
            raise UsageError(f"seed must not be negative: {self.seed}.")

    def sets(self, models: Iterable[str]) -> list[SetName]:
        """The lines of the table, in order: clean, adversarial, noise, amplified."""
        names = list(models) if self.adversarial else []
        return [
            SetName("clean"),
            *(SetName("adversarial", name) for name in names),
            *(SetName("noise", None, stddev) for stddev in self.noise),
            *(SetName("amplified", name, to) for to in self.amplify for name in names),
        ]

    def examples_settings(self) -> dict[str, Any]:
        """What adversarial examples depend on beside model and rows, as plain values."""
        names = ("attack", "goal", "bounds", "only_correct", "chunk", "seed")
        return {name: described(getattr(self, name)) for name in names}

    def settings(self) -> dict[str, Any]:
        """What all sets depend on beside models and rows, as plain values."""
        names = ("noise", "amplify", "clip", "adversarial")
        return self.examples_settings() | {name: described(getattr(self, name)) for name in names}
