"""`lightning probe`: options to a study."""

from collections.abc import Sequence

from lit_intriguing.studies.probing.study import Probing
from lit_intriguing.studies.transfer.command import read


def probe(arguments: Sequence[str]) -> None:
    """Runs the study that the arguments describe.

    Args:
        arguments: What stands behind `lightning probe`.

    Raises:
        UsageError: The arguments do not describe a study.
        UserError: See `Probing.run`.
    """
    parse(arguments).run()


def parse(arguments: Sequence[str]) -> Probing:
    """Makes a study of command-line arguments.

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
