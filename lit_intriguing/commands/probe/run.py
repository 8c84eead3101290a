"""How it runs: a probing study's pass over data."""

from torch import Tensor
from typing_extensions import override

from lit_intriguing.commands.probe.job import ProbeJob
from lit_intriguing.commands.probe.probe_tensors import probe
from lit_intriguing.commands.probe.table import Probes, tabulate
from lit_intriguing.model_sets.predictions import ChunkInputs, ChunkResult
from lit_intriguing.model_sets.run import ExamplesRun, StudyPass


class ProbeRun(ExamplesRun[ProbeJob, Probes]):
    """Makes the examples of each chunk for each model, and has the model predict around them.

    Args:
        study_pass: What is asked for, and the data.
        confidence: Of the intervals.
    """

    FOLDER = "probed"

    def __init__(self, study_pass: StudyPass[ProbeJob], confidence: float) -> None:
        super().__init__(study_pass, "examples and probes")
        self.confidence = confidence

    @override
    def evaluate(self, inputs: ChunkInputs) -> ChunkResult:
        return probe(inputs, self.job)

    @override
    def conclude(self, columns: dict[str, Tensor], failures: dict[str, str]) -> Probes:
        return tabulate(columns, self.job, self.names, failures, self.confidence)
