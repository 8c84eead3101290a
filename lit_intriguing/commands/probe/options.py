"""What is asked for: the options of `lightning probe`, and what is done with them."""

from dataclasses import dataclass, field
from typing import ClassVar

from lightning.pytorch import Trainer
from typing_extensions import override

from lit_intriguing.commands.probe.job import ProbeJob
from lit_intriguing.commands.probe.output import ProbeReport
from lit_intriguing.commands.probe.run import ProbeRun
from lit_intriguing.commands.probe.table import Probes
from lit_intriguing.model_sets.job import ExampleStudy
from lit_intriguing.model_sets.run import Models
from lit_intriguing.splits.split import SplitData


@dataclass
class Probing(ExampleStudy[ProbeJob, Probes]):
    """What models predict along growing perturbations, and in noise around adversarial examples.

    What reviewers of Szegedy et al. 2013 asked for. The images are the first `limit` of a split;
    for each model those count that it classifies correctly and that the attack succeeds on.

    Along the line from an image `x` through its example `x'`, at `x + t (x' - x)`, and along a
    random direction of the same length, the mean predicted probabilities of the true class, of the
    class that `x'` reaches and of all others are taken, and the shares of the predictions. Around
    points of that line, `x` (t = 0) and `x'` (t = 1) unless others are asked for, Gaussian noise
    of growing size shows how much of the space is adversarial. What was done is stored under
    `out_dir`, and used again where weights, images and settings are the same.

    Further options are those of `ExampleStudy`.

    Args:
        out_dir: Where everything goes: `along.csv` and `.png`, `around.csv` and `.png`,
            `probe.md`, and what is stored.
        factors: The values of t, growing.
        centres: Where on the line noise is laid, as values of t, growing.
        noise: Its standard deviations, growing, in the units of the images.
        draws: Of noise for each image, length and centre; the same for all centres and models.
        clip: Keep all points in the bounds.
        confidence: Of the intervals, which take images and not draws for what is independent.
        seed: Of targets, attack, directions and noise.
    """

    LACK: ClassVar[str] = "the tables lack them"

    factors: list[float] = field(default_factory=lambda: list(ProbeJob.factors))
    centres: list[float] = field(default_factory=lambda: list(ProbeJob.centres))
    noise: list[float] = field(default_factory=lambda: list(ProbeJob.noise))
    draws: int = ProbeJob.draws
    clip: bool = ProbeJob.clip
    title: str = "Probing"

    @override
    def job(self) -> ProbeJob:
        return ProbeJob(
            **self.example_options(),
            factors=tuple(self.factors),
            centres=tuple(self.centres),
            noise=tuple(self.noise),
            draws=self.draws,
            clip=self.clip,
        )

    @override
    def measure(
        self, trainer: Trainer, models: Models, job: ProbeJob, failures: dict[str, str]
    ) -> Probes | None:
        data = SplitData(self.data, self.split, job.chunk, self.limit)
        loop = ProbeRun(self.pass_over(data, job, failures), self.confidence)
        return self.run_over(loop, trainer, models)

    @override
    def report(self, found: Probes, job: ProbeJob) -> ProbeReport:
        return ProbeReport(found, job, title=self.title, confidence=self.confidence)
