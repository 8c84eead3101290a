"""How it runs: a transfer study's passes over data."""

from dataclasses import replace

from torch import Tensor
from typing_extensions import override

from lit_intriguing.commands.transfer.job import TransferJob
from lit_intriguing.commands.transfer.pictures import panels
from lit_intriguing.commands.transfer.table import Table, tabulate
from lit_intriguing.commands.transfer.transfer_tensors import evaluate
from lit_intriguing.model_sets.predictions import ChunkInputs, ChunkResult
from lit_intriguing.model_sets.run import ExamplesRun, StudyPass


class TransferRun(ExamplesRun[TransferJob, Table]):
    """Makes the examples of each chunk for each model, and has all models predict all sets.

    Args:
        study_pass: What is asked for, and the data.
        task: Name of the work, for the bar.
        show: How many images to draw of each set.
    """

    FOLDER = "judged"

    def __init__(self, study_pass: StudyPass[TransferJob], task: str, show: int = 0) -> None:
        super().__init__(study_pass, task, study_pass.job.adversarial)
        self.show = show

    @override
    def evaluate(self, inputs: ChunkInputs) -> ChunkResult:
        return evaluate(inputs, self.job)

    @override
    def conclude(self, columns: dict[str, Tensor], failures: dict[str, str]) -> Table:
        table = tabulate(columns, self.job.sets(self.names), self.names, failures)
        if not self.show:
            return table
        drawn = panels(table, self.job, self.stored_examples(0), self.show)
        return replace(table, panels=drawn)
