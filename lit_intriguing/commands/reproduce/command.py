"""`lightning reproduce`: options to what is asked for."""

from collections.abc import Sequence
from itertools import pairwise

from lit_intriguing.commands.reproduce.options import Reproduction
from lit_intriguing.configuration.parsing import parsed

_SWITCHES = ("--quick", "--further")


def parse(arguments: Sequence[str]) -> Reproduction:
    """Make a reproduction of the command's arguments; see `configuration.parsing.parsed`.

    Args:
        arguments: `--quick` and `--further` may stand without a value.
    """
    words = [
        f"{word}=true" if word in _SWITCHES and following.startswith("-") else word
        for word, following in pairwise([*arguments, "-"])
    ]
    return Reproduction(**parsed(Reproduction, "lightning reproduce", words).as_dict())
