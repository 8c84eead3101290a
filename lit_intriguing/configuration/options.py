"""The keys that a configuration of `lightning fit` has beyond LightningCLI's own."""

from dataclasses import dataclass
from typing import Any

from jsonargparse.typing import PositiveInt


@dataclass(frozen=True)
class Option:
    """One key.

    Attributes:
        name: As written in a file.
        type: What it holds.
        default: Its value where it is not given.
        help: For `--help`.
    """

    name: str
    type: Any
    default: Any
    help: str


OPTIONS = (
    Option("paper", str | None, None, "The paper's number, for the last line."),
    Option("test_after_fit", bool, True, "Measure the weights once on the test set after fit."),
    Option(
        "threads",
        PositiveInt | None,
        None,
        "Threads of this process on the CPU; small networks run best on one.",
    ),
)

OF_THE_COMMAND = (*(option.name for option in OPTIONS), "ckpt_path", "weights_only")
"""Keys that say what `lightning fit` does around the training; the last two are the method's."""
