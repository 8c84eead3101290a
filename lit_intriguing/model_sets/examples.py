"""How the adversarial examples of each model are made."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from torch import Tensor, nn

from lit_intriguing.attacks import Attack, Goal, RandomTargets
from lit_intriguing.attacks.attack_tensors import CHUNK, attack_chunk
from lit_intriguing.attacks.examples import Examples
from lit_intriguing.commands.attack.job import default_attack
from lit_intriguing.errors import UsageError
from lit_intriguing.isolation import chunk_randomness
from lit_intriguing.splits.fingerprint import described
from lit_intriguing.types import Bounds

Maker = Callable[[str, nn.Module], Examples]
"""Returns the examples of a chunk's images for the model of that name."""


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
        """Refuse numbers out of range.

        Raises:
            UsageError: With the number.
        """
        if self.chunk < 1:
            raise UsageError(f"chunk must be at least 1, not {self.chunk}.")
        if self.seed < 0:
            raise UsageError(f"seed must not be negative: {self.seed}.")

    def examples_settings(self) -> dict[str, Any]:
        """Return what examples depend on beside model and images, as plain values."""
        return {one.name: described(getattr(self, one.name)) for one in fields(ExampleJob)}

    def settings(self) -> dict[str, Any]:
        """Return what all results depend on beside models and images, as plain values."""
        return {one.name: described(getattr(self, one.name)) for one in fields(self)}


def check_numbers(option: str, kind: str, values: Sequence[float], *, zero: bool = False) -> None:
    """Refuse numbers that are no lengths, and one that is given twice.

    Args:
        option: Whose numbers they are.
        kind: What each of them is.
        values: The numbers.
        zero: Whether 0 is allowed.

    Raises:
        UsageError: With the number.
    """
    least = "at least 0" if zero else "positive"
    for value in values:
        if not 0 <= value < math.inf or (value == 0 and not zero):
            raise UsageError(f"{option}: a {kind} is {least} and finite, not {value}.")
    if len(set(values)) < len(values):
        raise UsageError(f"{option} holds a {kind} twice: {list(values)}.")


def made_for(
    model: nn.Module, images: Tensor, labels: Tensor, job: ExampleJob, index: int
) -> Examples:
    """Make a model's examples of a chunk's images; targets are the same for all models.

    Args:
        model: The model.
        images: `(n, *S)`.
        labels: `(n,)`.
        job: How they are made.
        index: The chunk's number, which seeds it.

    Returns:
        The examples, of n images.

    Raises:
        ValueError: See `attack_chunk`.
        UserError: See `attack_chunk`.
    """
    with chunk_randomness(job.seed, index) as generator:
        return attack_chunk(
            model, job.attack, images, labels, generator,
            goal=job.goal, bounds=job.bounds, only_correct=job.only_correct,
        )  # fmt: skip
