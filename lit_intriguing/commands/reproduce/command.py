"""`lightning reproduce`: options to what is asked for."""

from collections.abc import Sequence
from itertools import pairwise

from lit_intriguing.commands.reproduce.options import Reproduction
from lit_intriguing.configuration.parsing import parsed

_SWITCH = "--quick"


def parse(arguments: Sequence[str]) -> Reproduction:
    """Make a reproduction of the command's arguments; see `configuration.parsing.parsed`.

    Args:
        arguments: `--quick` may stand without a value.
    """
    words = [
        f"{_SWITCH}=true" if word == _SWITCH and following.startswith("-") else word
        for word, following in pairwise([*arguments, "-"])
    ]
    return Reproduction(**parsed(Reproduction, "lightning reproduce", words).as_dict())
