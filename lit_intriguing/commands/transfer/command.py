"""`lightning transfer`: options to what is asked for."""

from collections.abc import Sequence

from lit_intriguing.commands.transfer.options import CleanSplit, TransferMatrix
from lit_intriguing.commands.transfer.output import PaperRow
from lit_intriguing.configuration.parsing import by_name
from lit_intriguing.model_sets.command import read


def parse(arguments: Sequence[str]) -> TransferMatrix:
    """Make a study of the command's arguments; see `model_sets.command.read`."""
    values = read(TransferMatrix, "lightning transfer", arguments)
    values["clean"] = by_name(values["clean"], CleanSplit)
    values["paper"] = by_name(values["paper"], PaperRow)
    return TransferMatrix(**values)
