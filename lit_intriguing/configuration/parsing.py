"""Reads the options of a study."""

import sys
import typing
from collections.abc import Sequence

from jsonargparse import ArgumentError, ArgumentParser, Namespace

from lit_intriguing.configuration import class_paths
from lit_intriguing.configuration import misspelt as diagnosis
from lit_intriguing.configuration.arguments import written
from lit_intriguing.configuration.files import ConfigFile
from lit_intriguing.configuration.parse_errors import one_line
from lit_intriguing.errors import UsageError


def parsed(study: type, prog: str, arguments: Sequence[str]) -> Namespace:
    """Reads the options of a study.

    Args:
        study: The class whose parameters are the options.
        prog: The command.
        arguments: What stands behind it.

    Returns:
        Its parameters, as plain values.

    Raises:
        UsageError: The arguments do not describe a study.
        SystemExit: Status 0, after the help that `--help` asks for.
    """
    parser = ArgumentParser(prog=prog, exit_on_error=False)
    parser.add_argument("-c", "--config", action=ConfigFile, help="A study, for instance a recipe.")
    parser.add_class_arguments(study)
    class_paths.bring_in()
    if {"-h", "--help"} & set(arguments):
        parser.print_help()
        sys.exit(0)
    # The parser itself lets unknown keys of a row pass.
    for config in written(arguments):
        diagnosis.check(config, diagnosis.keys_of(parser), typing.get_type_hints(study))
    try:
        values = parser.parse_args(list(arguments))
    except (ArgumentError, ValueError, TypeError) as error:
        raise UsageError(one_line(str(error))) from error
    del values["config"]
    return values
