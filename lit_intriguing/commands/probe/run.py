"""How it runs: a probing study's pass over data."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor, nn
from typing_extensions import override

from lit_intriguing.commands.probe.job import ProbeJob
from lit_intriguing.commands.probe.probe_tensors import probe
from lit_intriguing.commands.probe.table import Probes, tabulate
from lit_intriguing.model_sets.examples import Maker
from lit_intriguing.model_sets.predictions import ChunkResult
from lit_intriguing.model_sets.run import ExamplesRun
from lit_intriguing.splits.split import SplitData


class ProbeRun(ExamplesRun[ProbeJob, Probes]):
    """Makes the examples of each chunk for each model, and has the model predict around them.

    Args:
        folder: Holds `examples/<model and attack>` and `probed/<all settings>`.
        job: What is asked for.
        data: What the loop runs over.
        names: All models of the study, those included that could not be loaded.
        failures: Why these could not.
        confidence: Of the intervals.
    """

    FOLDER = "probed"

    def __init__(
        self,
        folder: Path,
        job: ProbeJob,
        data: SplitData,
        names: Sequence[str],
        failures: Mapping[str, str],
        confidence: float,
    ) -> None:
        super().__init__(folder, job, data, names, failures, "examples and probes")
        self.confidence = confidence

    @override
    def evaluate(
        self,
        models: Mapping[str, nn.Module],
        images: Tensor,
        labels: Tensor,
        index: int,
        make: Maker,
    ) -> ChunkResult:
        return probe(models, self.names, images, labels, self.job, index, make)

    @override
    def conclude(self, columns: dict[str, Tensor], failures: dict[str, str]) -> Probes:
        return tabulate(columns, self.job, self.names, failures, self.confidence)
