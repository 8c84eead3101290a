"""Which models are fooled by the adversarial examples made for which (the paper's tables 2, 4)."""

from lit_intriguing.studies.transfer.job import TransferJob
from lit_intriguing.studies.transfer.output import PaperRow
from lit_intriguing.studies.transfer.rows import transfer_tensors
from lit_intriguing.studies.transfer.sources import ModelSource
from lit_intriguing.studies.transfer.study import CleanRows, TransferMatrix
from lit_intriguing.studies.transfer.table import Table

__all__ = [
    "CleanRows",
    "ModelSource",
    "PaperRow",
    "Table",
    "TransferJob",
    "TransferMatrix",
    "transfer_tensors",
]
