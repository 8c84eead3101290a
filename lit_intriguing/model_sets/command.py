"""Options to a study of several models."""

from collections.abc import Sequence
from typing import Any, get_type_hints

from jsonargparse import ArgumentError, ArgumentParser, Namespace

from lit_intriguing.configuration.parse_errors import one_line
from lit_intriguing.configuration.parsing import parsed
from lit_intriguing.errors import UsageError
from lit_intriguing.model_sets.sources import ModelSource


def read(study: type, prog: str, arguments: Sequence[str]) -> dict[str, Any]:
    """Reads the options of a study of several models.

    Args:
        study: The class whose parameters are the options.
        prog: The command.
        arguments: What stands behind it.

    Returns:
        Its parameters; models as `ModelSource`, data, attack, goal and bounds as objects, all
        others as plain values.

    Raises:
        UsageError: The arguments do not describe a study.
        SystemExit: Status 0, after the help that `--help` asks for.
    """
    plain = parsed(study, prog, arguments)
    values = plain.as_dict()
    sources = values["models"] or {}
    values["models"] = {name: ModelSource(**inner) for name, inner in sources.items()}
    for name in ("data", "attack", "goal", "bounds"):
        values[name] = _made(study, plain, name)
    return values


def _made(study: type, plain: Namespace, name: str) -> Any:
    """The object that an option describes; models are made by the study, each by itself."""
    one = ArgumentParser(exit_on_error=False)
    one.add_argument(f"--{name}", type=get_type_hints(study)[name])
    try:
        return one.instantiate(one.parse_object({name: plain[name]}))[name]
    except (ArgumentError, TypeError, ValueError) as error:
        raise UsageError(one_line(str(error))) from error
