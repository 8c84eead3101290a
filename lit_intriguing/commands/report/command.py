"""`lightning report`: options to what is asked for."""

from collections.abc import Sequence

from lit_intriguing.commands.report.options import Report
from lit_intriguing.configuration.parsing import parsed


def parse(arguments: Sequence[str]) -> Report:
    """Make a report of the command's arguments; see `configuration.parsing.parsed`.

    Args:
        arguments: The folder may stand first, without its option's name.
    """
    words = list(arguments)
    if words and not words[0].startswith("-"):
        words[:1] = ["--folder", words[0]]
    return Report(**parsed(Report, "lightning report", words).as_dict())
