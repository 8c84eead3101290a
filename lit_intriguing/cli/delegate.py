"""Another distribution's `lightning` command, for the subcommands that are not ours."""

import sys
from collections.abc import Callable, Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import Any, cast

OURS = "lit-intriguing"


def other_command() -> EntryPoint | None:
    """Find a console script `lightning` of another distribution, such as lightning-sdk.

    Two distributions may declare the same script: the file in `bin` is the one installed last,
    but both declarations stay readable.
    """
    for script in entry_points(group="console_scripts", name="lightning"):
        if script.dist is None or script.dist.name.lower().replace("_", "-") != OURS:
            return script
    return None


def run(script: EntryPoint, arguments: Sequence[str]) -> None:
    """Become that command; leave the process with its exit status."""
    command = cast("Callable[[], Any]", script.load())
    sys.argv[1:] = arguments
    sys.exit(command())
