"""A line that says how far a study is."""

import sys
from dataclasses import dataclass, field
from typing import TextIO

from lit_intriguing.training_runs.store import Result, Run, Stage


@dataclass
class Progress:
    """Counts runs and estimates the time left from those done.

    Attributes:
        totals: Number of runs a stage.
        workers: Runs at a time.
        stream: Where the line goes: rewritten in place on a terminal, else one line a run.
    """

    totals: dict[Stage, int]
    workers: int
    stream: TextIO = field(default_factory=lambda: sys.stderr)
    seconds: dict[Stage, list[float]] = field(default_factory=dict)
    failed: int = 0
    reused: int = 0

    def add(self, run: Run, result: Result, *, reused: bool = False) -> None:
        """Count a result and, unless it was stored already, show the line."""
        self.seconds.setdefault(run.stage, []).append(result.seconds)
        self.failed += result.failure is not None
        self.reused += reused
        if not reused:
            self.show()

    def show(self) -> None:
        """Write the line."""
        at_terminal = self.stream.isatty()
        # The blanks wipe the rest of a longer line before.
        self.stream.write(f"\r{self.line():<78}" if at_terminal else f"{self.line()}\n")
        self.stream.flush()

    def close(self) -> None:
        """End the line on a terminal."""
        if self.stream.isatty():
            self.stream.write("\n")

    def line(self) -> str:
        """Return what is shown."""
        done = sum(map(len, self.seconds.values()))
        parts = [f"{done} of {sum(self.totals.values())} runs"]
        if self.reused:
            parts.append(f"{self.reused} from before")
        if self.failed:
            parts.append(f"{self.failed} failed")
        left = self.left()
        parts.append("time left: unknown" if left is None else f"time left: {duration(left)}")
        return ", ".join(parts)

    def left(self) -> float | None:
        """Return the seconds left, by the mean time of each stage's runs; None before the first."""
        known = [second for seconds in self.seconds.values() for second in seconds]
        if not known:
            return None
        total = 0.0
        for stage, count in self.totals.items():
            seconds = self.seconds.get(stage, [])
            sample = seconds or known
            total += (count - len(seconds)) * sum(sample) / len(sample)
        return total / max(self.workers, 1)


def duration(seconds: float) -> str:
    """Return a length of time in words.

    >>> duration(42), duration(60), duration(3 * 3600 + 5 * 60)
    ('42 s', '1 min', '3 h 5 min')
    """
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
