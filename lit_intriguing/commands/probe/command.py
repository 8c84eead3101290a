"""`lightning probe`: options to what is asked for."""

from collections.abc import Sequence

from lit_intriguing.commands.probe.options import Probing
from lit_intriguing.model_sets.command import read


def parse(arguments: Sequence[str]) -> Probing:
    """Make a study of command-line arguments.

    Args:
        arguments: `--config FILE` (several are combined; shipped recipes by their names) and
            options that override it.

    Returns:
        The study.

    Raises:
        UsageError: The arguments do not describe one.
        SystemExit: Status 0, after the help that `--help` asks for.
    """
    return Probing(**read(Probing, "lightning probe", arguments))
