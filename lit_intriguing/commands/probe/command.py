"""`lightning probe`: options to what is asked for."""

from collections.abc import Sequence

from lit_intriguing.commands.probe.options import Probing
from lit_intriguing.model_sets.command import read


def parse(arguments: Sequence[str]) -> Probing:
    """Make a study of the command's arguments; see `model_sets.command.read`."""
    return Probing(**read(Probing, "lightning probe", arguments))
