"""The options of a command that has several runs."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import yaml
from jsonargparse import ArgumentError, ArgumentParser, Namespace

from lit_intriguing.configuration import class_paths, misspelt, settings, shipped
from lit_intriguing.configuration.parse_errors import in_words
from lit_intriguing.configuration.patches import Config
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
    result: Namespace = settings.as_arguments(
        arguments,
        lambda rest: _whole(parser, rest, hints),
        lambda rest: _without_settings(parser, rest, hints),
    )
    return result


def _whole(parser: ArgumentParser, arguments: Sequence[str], hints: Mapping[str, Any]) -> Config:
    """Return the whole study as plain values, with defaults."""
    values = _without_settings(parser, arguments, hints)
    whole: Config = yaml.safe_load(parser.dump(values, skip_none=False))
    return whole


def _without_settings(
    parser: ArgumentParser, arguments: Sequence[str], hints: Mapping[str, Any]
) -> Namespace:
    try:
        values = parser.parse_args(list(arguments))
    except (ArgumentError, ValueError, TypeError) as error:
        misspelt.explain(arguments, parser, hints)
        raise UsageError(in_words(error)) from error
    misspelt.check_entries(arguments, hints)
    del values["config"]
    return values


def by_name(value: Mapping[str, Any] | None, kind: type[T]) -> dict[str, T]:
    """Make the objects of an option that maps names to parameters of `kind`; none where None."""
    return {name: kind(**parameters) for name, parameters in (value or {}).items()}
