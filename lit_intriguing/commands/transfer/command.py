"""`lightning transfer`: options to what is asked for."""

from collections.abc import Sequence

from lit_intriguing.commands.transfer.options import CleanSplit, TransferMatrix
from lit_intriguing.commands.transfer.output import PaperRow
from lit_intriguing.model_sets.command import read


def parse(arguments: Sequence[str]) -> TransferMatrix:
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
    values = read(TransferMatrix, "lightning transfer", arguments)
    for name, kind in (("clean", CleanSplit), ("paper", PaperRow)):
        values[name] = {key: kind(**inner) for key, inner in (values[name] or {}).items()}
    return TransferMatrix(**values)
