"""A transfer study's passes over data."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor, nn
from typing_extensions import override

from lit_intriguing.commands.transfer.pictures import panels
from lit_intriguing.commands.transfer.sets import TransferJob
from lit_intriguing.commands.transfer.table import Table, tabulate
from lit_intriguing.commands.transfer.transfer_tensors import judge
from lit_intriguing.figures.panels import Panel
from lit_intriguing.model_sets.examples import Maker
from lit_intriguing.model_sets.predictions import Judged
from lit_intriguing.model_sets.run import ExamplesRun
from lit_intriguing.splits.split import SplitData


class TransferRun(ExamplesRun):
    """Makes the examples of each chunk for each model, and shows all sets to all models.

    Args:
        folder: Keeps `examples/<model and attack>` and `judged/<all settings>`.
        job: What is asked for.
        data: What the loop runs over.
        names: All models of the table, those included that could not be loaded.
        failures: Why these could not.
        task: Name of the work, for the bar.
        show: How many rows to draw of each set.
    """

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
        super().__init__(folder, job, data, names, failures, task, "judged", job.adversarial)
        self.transfer, self.show = job, show
        self.table: Table | None = None
        self.panels: list[Panel] = []

    @override
    def result(
        self,
        models: Mapping[str, nn.Module],
        images: Tensor,
        labels: Tensor,
        index: int,
        make: Maker,
    ) -> Judged:
        return judge(models, self.names, images, labels, self.transfer, index, make)

    @override
    def conclude(self, columns: dict[str, Tensor], failures: dict[str, str]) -> None:
        sets = self.transfer.sets(self.names)
        self.table = tabulate(columns, sets, self.names, failures)
        if self.show:
            self.panels = panels(self.table, self.transfer, self.kept_examples(0), self.show)
