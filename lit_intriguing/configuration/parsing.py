"""The options of a command that has several runs."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from jsonargparse import ArgumentError, ArgumentParser, Namespace

from lit_intriguing.configuration import class_paths, misspelt, shipped
from lit_intriguing.configuration.parse_errors import one_line
from lit_intriguing.errors import UsageError
from lit_intriguing.private import of_jsonargparse

T = TypeVar("T")


def parsed(study: type, prog: str, arguments: Sequence[str]) -> Namespace:
    """Read the options of a study.

    Args:
        study: The class whose parameters are the options.
        prog: The command.
        arguments: What stands behind it: `--config FILE` (several are combined; shipped recipes by
            their names) and options that override it.

    Returns:
        Its parameters, as plain values.

    Raises:
        UsageError: The arguments do not describe a study.
        SystemExit: Status 0, after the help that `--help` asks for.
    """
    parser = ArgumentParser(prog=prog, exit_on_error=False)
    config = of_jsonargparse.config_file_action(shipped.find)
    parser.add_argument("-c", "--config", action=config, help="A study, for instance a recipe.")
    parser.add_class_arguments(study)
    class_paths.bring_in()
    if {"-h", "--help"} & set(arguments):
        parser.print_help()
        sys.exit(0)
    hints = misspelt.hints_of(study)
    try:
        values = parser.parse_args(list(arguments))
    except (ArgumentError, ValueError, TypeError) as error:
        misspelt.explain(arguments, parser, hints)
        raise UsageError(one_line(str(error))) from error
    misspelt.check_entries(arguments, hints)
    del values["config"]
    return values


def by_name(value: Mapping[str, Any] | None, kind: type[T]) -> dict[str, T]:
    """Make the objects of an option that maps names to parameters of `kind`; none where None."""
    return {name: kind(**parameters) for name, parameters in (value or {}).items()}
