"""`lightning ablate`: options to a study."""

from collections.abc import Sequence

from jsonargparse import ArgumentError, ArgumentParser

from lit_intriguing import shipped
from lit_intriguing.errors import UsageError
from lit_intriguing.parse_errors import one_line
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
    parser.add_argument("--config", action="config", help="A study, for instance a recipe.")
    parser.add_class_arguments(Ablation)
    try:
        values = parser.parse_args(_resolved(arguments)).as_dict()
    except (ArgumentError, ValueError, TypeError) as error:
        raise UsageError(f"ablate: {one_line(str(error))}") from error
    values["rows"] = {name: Row(**row) for name, row in (values["rows"] or {}).items()}
    del values["config"]
    return Ablation(**values)


def _resolved(arguments: Sequence[str]) -> list[str]:
    """Finds shipped recipes behind `--config`."""
    result = list(arguments)
    for at, argument in enumerate(result):
        if argument.startswith("--config="):
            result[at] = "--config=" + shipped.find(argument.removeprefix("--config="))
        elif at and result[at - 1] == "--config":
            result[at] = shipped.find(argument)
    return result
