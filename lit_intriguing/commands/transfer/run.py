"""How it runs: a transfer study's passes over data."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor, nn
from typing_extensions import override

from lit_intriguing.commands.transfer.job import TransferJob
from lit_intriguing.commands.transfer.pictures import panels
from lit_intriguing.commands.transfer.table import Table, tabulate
from lit_intriguing.commands.transfer.transfer_tensors import evaluate
from lit_intriguing.figures.panels import Panel
from lit_intriguing.model_sets.examples import Maker
from lit_intriguing.model_sets.predictions import ChunkResult
from lit_intriguing.model_sets.run import ExamplesRun
from lit_intriguing.splits.split import SplitData


class TransferRun(ExamplesRun[TransferJob, Table]):
    """Makes the examples of each chunk for each model, and has all models predict all sets.

    Args:
        folder: Holds `examples/<model and attack>` and `judged/<all settings>`.
        job: What is asked for.
        data: What the loop runs over.
        names: All models of the table, those included that could not be loaded.
        failures: Why these could not.
        task: Name of the work, for the bar.
        show: How many images to draw of each set.
    """

    FOLDER = "judged"

    def __init__(
        self,
        folder: Path,
        job: TransferJob,
        data: SplitData,
        names: Sequence[str],
        failures: Mapping[str, str],
        task: str,
        show: int = 0,
    ) -> None:
        super().__init__(folder, job, data, names, failures, task, job.adversarial)
        self.show = show
        self.panels: list[Panel] = []

    @override
    def evaluate(
        self,
        models: Mapping[str, nn.Module],
        images: Tensor,
        labels: Tensor,
        index: int,
        make: Maker,
    ) -> ChunkResult:
        return evaluate(models, self.names, images, labels, self.job, index, make)

    @override
    def conclude(self, columns: dict[str, Tensor], failures: dict[str, str]) -> Table:
        table = tabulate(columns, self.job.sets(self.names), self.names, failures)
        if self.show:
            self.panels = panels(table, self.job, self.stored_examples(0), self.show)
        return table
