"""`lightning ablate`: options to what is asked for."""

from collections.abc import Sequence

from lit_intriguing.commands.ablate.options import Ablation
from lit_intriguing.commands.ablate.plan import Row
from lit_intriguing.configuration.parsing import by_name, parsed


def parse(arguments: Sequence[str]) -> Ablation:
    """Make a study of the command's arguments; see `configuration.parsing.parsed`."""
    values = parsed(Ablation, "lightning ablate", arguments).as_dict()
    values["rows"] = by_name(values["rows"], Row)
    return Ablation(**values)
