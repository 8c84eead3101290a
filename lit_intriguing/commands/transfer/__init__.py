"""Which models are fooled by the adversarial examples made for which (the paper's tables 2, 4)."""

from lit_intriguing.commands.transfer.job import TransferJob
from lit_intriguing.commands.transfer.options import CleanSplit, TransferMatrix
from lit_intriguing.commands.transfer.output import PaperRow
from lit_intriguing.commands.transfer.table import Table
from lit_intriguing.commands.transfer.transfer_tensors import transfer_tensors
from lit_intriguing.model_sets.sources import ModelSource

__all__ = [
    "CleanSplit",
    "ModelSource",
    "PaperRow",
    "Table",
    "TransferJob",
    "TransferMatrix",
    "transfer_tensors",
]
