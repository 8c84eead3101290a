"""A probing study's pass over data."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor, nn
from typing_extensions import override

from lit_intriguing.commands.probe.points import ProbeJob
from lit_intriguing.commands.probe.probe_tensors import probe
from lit_intriguing.commands.probe.table import Probes, tabulate
from lit_intriguing.model_sets.examples import Maker
from lit_intriguing.model_sets.predictions import Judged
from lit_intriguing.model_sets.run import ExamplesRun
from lit_intriguing.splits.split import SplitData


class ProbeRun(ExamplesRun):
    """Makes the examples of each chunk for each model, and asks the model around them.

    Args:
        folder: Keeps `examples/<model and attack>` and `probed/<all settings>`.
        job: What is asked for.
        data: What the loop runs over.
        names: All models of the study, those included that could not be loaded.
        failures: Why these could not.
        confidence: Of the intervals.
    """

    def __init__(
        self,
        folder: Path,
        job: ProbeJob,
        data: SplitData,
        names: Sequence[str],
        failures: Mapping[str, str],
        confidence: float,
    ) -> None:
        super().__init__(folder, job, data, names, failures, "examples and probes", "probed")
        self.points, self.confidence = job, confidence
        self.probes: Probes | None = None

    @override
    def result(
        self,
        models: Mapping[str, nn.Module],
        images: Tensor,
        labels: Tensor,
        index: int,
        make: Maker,
    ) -> Judged:
        return probe(models, self.names, images, labels, self.points, index, make)

    @override
    def conclude(self, columns: dict[str, Tensor], failures: dict[str, str]) -> None:
        self.probes = tabulate(columns, self.points, self.names, failures, self.confidence)
