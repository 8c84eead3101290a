"""What one check found."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One sign that an attack's failure may say nothing about the model.

    Attributes:
        name: Of the check.
        value: What it measured, from 0 (no sign) to 1; NaN where there was nothing to measure.
        limit: From which on it is a warning.
        words: What the value is, and what to do, in one sentence each.
    """

    name: str
    value: float
    limit: float
    words: str

    @property
    def warns(self) -> bool:
        """Whether the value reaches the limit."""
        return self.value >= self.limit

    def __str__(self) -> str:
        return f"{self.name.replace('_', ' ')} {self.value:.2f}: {self.words}"
