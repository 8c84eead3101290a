"""The sets of examples that every model predicts, and how they are made."""

from collections.abc import Iterable
from dataclasses import dataclass

from typing_extensions import override

from lit_intriguing.model_sets.examples import ExampleJob, check_numbers


@dataclass(frozen=True)
class SetName:
    """One set of examples, a row of the table.

    Attributes:
        kind: "clean", "adversarial", "amplified" or "noise".
        model: What the examples were made for; None for clean images and noise.
        stddev: Root mean square of what was added, where that is given.
    """

    kind: str
    model: str | None = None
    stddev: float | None = None

    @property
    def title(self) -> str:
        """Its name in the table.

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
        """Return the table's rows, in order: clean, adversarial, noise, amplified."""
        names = list(models) if self.adversarial else []
        return [
            CLEAN,
            *(SetName("adversarial", name) for name in names),
            *(SetName("noise", None, stddev) for stddev in self.noise),
            *(SetName("amplified", name, to) for to in self.amplify for name in names),
        ]
