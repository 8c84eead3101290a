"""The probing study: models, adversarial examples made for each, answers along and around them."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from lightning.pytorch import LightningDataModule

from lit_intriguing.attacking.attack_rows import CHUNK
from lit_intriguing.attacking.chunk_loop import run_loop
from lit_intriguing.attacking.job import Split, default_attack
from lit_intriguing.attacking.split_data import SplitData
from lit_intriguing.attacks import Attack, Goal, RandomTargets
from lit_intriguing.errors import UserError
from lit_intriguing.studies.probing.job import FACTORS, LENGTHS, ProbeJob
from lit_intriguing.studies.probing.output import Report
from lit_intriguing.studies.probing.probe_run import ProbeRun
from lit_intriguing.studies.probing.table import Probes
from lit_intriguing.studies.transfer.examples_run import Models
from lit_intriguing.studies.transfer.loading import (
    Source,
    check_options,
    kept,
    load_models,
    quiet_trainer,
)
from lit_intriguing.types import Bounds


@dataclass
class Probing:
    """What models answer along growing perturbations, and in noise around adversarial examples.

    What reviewers of Szegedy et al. 2013 asked for. The rows are the first `limit` of a split; for
    each model those count that it reads rightly and that the attack succeeds on.

    Along the line from an image `x` through its example `x'`, at `x + t (x' - x)`, and along a
    random direction of the same length, the mean predicted probabilities of the true class, of the
    class that `x'` reaches and of all others are taken, and the shares of the answers. Around
    points of that line, `x` (t = 0) and `x'` (t = 1) unless others are asked for, Gaussian noise
    of growing size tells how much of the space is adversarial. What was done is kept under
    `out_dir`, and used again where weights, rows and settings are the same.

    Args:
        models: Name to source; or, in Python, to any module or function that gives logits (N, C).
        data: Gives batches (images, labels).
        out_dir: Where everything goes: `along.csv` and `.png`, `around.csv` and `.png`,
            `probe.md`, and what is kept.
        split: Which rows are taken.
        limit: Take no more rows than that.
        attack: Finds the examples (null: BoxLBFGS).
        goal: What it is to reach (null: RandomTargets, the paper's).
        bounds: Of the images, lower and upper (null: [0, 1]).
        factors: The values of t, growing.
        centres: Where on the line noise is laid, as values of t, growing.
        noise: Its standard deviations, growing, in the units of the images.
        draws: Of noise for each row, length and centre; the same for all centres and models.
        clip: Keep all points in the bounds.
        confidence: Of the intervals, which take rows and not draws for what is independent.
        seed: Of targets, attack, directions and noise.
        chunk: Rows at once; another number gives other targets and noise.
        models_dir: Where trained models are kept (null: `models` in `out_dir`).
        workers: Processes that train models; 0 for none but this.
        trainer: Options of Lightning's Trainer: accelerator, devices, strategy, precision.
        title: Heading.
    """

    models: Mapping[str, Source]
    data: LightningDataModule
    out_dir: str
    split: Split = "test"
    limit: int | None = None
    attack: Attack | None = None
    goal: Goal | None = None
    bounds: Bounds | None = None
    factors: list[float] = field(default_factory=lambda: list(FACTORS))
    centres: list[float] = field(default_factory=lambda: [0.0, 1.0])
    noise: list[float] = field(default_factory=lambda: list(LENGTHS))
    draws: int = 10
    clip: bool = False
    confidence: float = 0.95
    seed: int = 0
    chunk: int = CHUNK
    models_dir: str | None = None
    workers: int = 0
    trainer: dict[str, Any] = field(default_factory=dict)
    title: str = "Probing"

    def run(self, output: TextIO | None = None) -> Probes | None:
        """Does what is not done yet, writes the files and prints the tables.

        Args:
            output: Where the tables go; standard output where None.

        Returns:
            The numbers; None on all processes but the first.

        Raises:
            UsageError: The study cannot be understood.
            UserError: Something does not fit; or models failed (after everything else is done and
                written).
        """
        job = self.check()
        trainer = quiet_trainer(self.trainer)
        models, failures = load_models(self.models, self.out_dir, self.models_dir, self.workers)
        rows = SplitData(self.data, self.split, job.chunk, self.limit)
        folder = Path(self.out_dir)
        loop = ProbeRun(folder, job, rows, list(self.models), failures, self.confidence)
        run_loop(trainer, Models(models), loop, lambda: kept(self.out_dir))
        if loop.probes is None:
            return None
        report = Report(loop.probes, job, self.confidence, self.title)
        files = report.write(folder)
        print(f"{report.screen()}\n{', '.join(files)} in {self.out_dir}", file=output or sys.stdout)
        if loop.probes.failures:
            names = ", ".join(map(repr, loop.probes.failures))
            raise UserError(f"{names} failed, and the tables lack them: see above.")
        return loop.probes

    def check(self) -> ProbeJob:
        """Refuses what is no study, before any work.

        Returns:
            What is asked for.

        Raises:
            UsageError: With what to do.
        """
        check_options(self.models, self.out_dir, self.limit, self.confidence, self.workers)
        job = ProbeJob(
            attack=self.attack or default_attack(),
            goal=self.goal or RandomTargets(),
            bounds=self.bounds,
            seed=self.seed,
            chunk=self.chunk,
            factors=tuple(self.factors),
            centres=tuple(self.centres),
            noise=tuple(self.noise),
            draws=self.draws,
            clip=self.clip,
        )
        job.check()
        return job
