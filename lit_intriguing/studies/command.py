"""`lightning ablate`: options to a study."""

import os
import re
import sys
from collections.abc import Sequence

from jsonargparse import ArgumentError, ArgumentParser

from lit_intriguing import shipped
from lit_intriguing.errors import UsageError
from lit_intriguing.parse_errors import one_line
from lit_intriguing.spelling import did_you_mean
from lit_intriguing.studies.ablation import Ablation
from lit_intriguing.studies.plan import Row


def ablate(arguments: Sequence[str]) -> None:
    """Runs the study that the arguments describe.

    Args:
        arguments: What stands behind `lightning ablate`.

    Raises:
        UsageError: The arguments do not describe a study.
        UserError: See `Ablation.run`.
    """
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # as for `fit`: class paths of the user's own files
    parse(arguments).run()


def parse(arguments: Sequence[str]) -> Ablation:
    """Makes a study of command-line arguments.

    Args:
        arguments: `--config FILE` (several are combined; shipped recipes by their names) and
            options that override it.

    Returns:
        The study.

    Raises:
        UsageError: The arguments do not describe one.
    """
    parser = ArgumentParser(prog="lightning ablate", exit_on_error=False)
    parser.add_argument("-c", "--config", action="config", help="A study, for instance a recipe.")
    parser.add_class_arguments(Ablation)
    try:
        values = parser.parse_args(_resolved(arguments)).as_dict()
    except (ArgumentError, ValueError, TypeError) as error:
        raise UsageError(f"ablate: {_message(str(error))}") from error
    values["rows"] = {name: Row(**row) for name, row in (values["rows"] or {}).items()}
    del values["config"]
    return Ablation(**values)


def _resolved(arguments: Sequence[str]) -> list[str]:
    """Finds shipped recipes behind `--config`."""
    result = list(arguments)
    for at, argument in enumerate(result):
        if argument.startswith("--config="):
            result[at] = "--config=" + shipped.find(argument.removeprefix("--config="))
        elif at and result[at - 1] in ("--config", "-c"):
            result[at] = shipped.find(argument)
    return result


def _message(complaint: str) -> str:
    """One line, with the nearest right spelling of an unknown option or key."""
    line = one_line(complaint)
    unknown = re.search(r"unrecognized arguments: --(\w+)|does not accept \w+ '(\w+)'", line)
    if unknown is None:
        return line
    return line + "." + did_you_mean(unknown[1] or unknown[2], Ablation.__dataclass_fields__)
