"""The points at which every model predicts: on lines through examples, and in noise."""

from dataclasses import dataclass

from typing_extensions import override

from lit_intriguing.errors import UsageError
from lit_intriguing.model_sets.examples import ExampleJob, check_numbers

DIRECTIONS = ("adversarial", "random")
"""Of the lines."""

FACTORS = (0, 0.25, 0.5, 0.75, 0.9, 1, 1.1, 1.25, 1.5, 1.75, 2, 2.5, 3, 4, 5)
LENGTHS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 1)


@dataclass(frozen=True)
class ProbeJob(ExampleJob):
    """Where the models predict; see `Probing` for the meaning of each option."""

    only_correct: bool = True
    factors: tuple[float, ...] = FACTORS
    centres: tuple[float, ...] = (0, 1)
    noise: tuple[float, ...] = LENGTHS
    draws: int = 10
    clip: bool = False

    @override
    def check(self) -> None:
        check_numbers("factors", "factor", self.factors, zero=True)
        check_numbers("centres", "factor", self.centres, zero=True)
        check_numbers("noise", "stddev", self.noise)
        for name in ("factors", "centres", "noise"):
            if not getattr(self, name):
                raise UsageError(f"{name} is empty: give at least one number.")
            if list(getattr(self, name)) != sorted(getattr(self, name)):
                raise UsageError(f"{name} must grow: {list(getattr(self, name))}.")
        if self.draws < 1:
            raise UsageError(f"draws must be at least 1, not {self.draws}.")
        super().check()
