"""`lightning ablate`: options to what is asked for."""

from collections.abc import Sequence

from lit_intriguing.commands.ablate.options import Ablation
from lit_intriguing.commands.ablate.plan import Row
from lit_intriguing.configuration.parsing import parsed


def parse(arguments: Sequence[str]) -> Ablation:
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
    values = parsed(Ablation, "lightning ablate", arguments).as_dict()
    values["rows"] = {name: Row(**row) for name, row in (values["rows"] or {}).items()}
    return Ablation(**values)
