"""What is asked for: the options that all studies of several models have, and how one runs."""

import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TextIO, TypeVar

from lightning.pytorch import LightningDataModule, Trainer

from lit_intriguing.attacks import Attack, Goal, RandomTargets
from lit_intriguing.commands.attack.job import default_attack
from lit_intriguing.errors import UserError
from lit_intriguing.model_sets.examples import ExampleJob
from lit_intriguing.model_sets.loading import (
    Source,
    check_options,
    load_models,
    quiet_trainer,
    saved_in,
)
from lit_intriguing.model_sets.report import Report
from lit_intriguing.model_sets.run import ExamplesRun, Models, StudyPass
from lit_intriguing.private.of_lightning import starts_processes
from lit_intriguing.splits.loop import run_loop
from lit_intriguing.splits.split import Split, SplitData
from lit_intriguing.types import Bounds


class Result(Protocol):
    """What a study finds."""

    @property
    def failures(self) -> Mapping[str, str]:
        """Why models are missing in it, by their names."""


Job = TypeVar("Job", bound=ExampleJob)
Found = TypeVar("Found", bound=Result)


@dataclass
class ExampleStudy(ABC, Generic[Job, Found]):
    """A study of adversarial examples made for each of several models.

    What is done is stored under `out_dir`, and used again where weights, images and settings are
    the same. A subclass says what is asked for (`job`), what is found (`measure`), and how that is
    shown (`report`).

    Args:
        models: Name to source; or, in Python, to any module or function that gives logits (N, C).
        data: Gives batches (images, labels).
        out_dir: Where everything goes.
        split: Which images are taken.
        limit: Take no more images than that.
        attack: Finds the examples (null: BoxLBFGS).
        goal: What it is to reach (null: RandomTargets, the paper's).
        bounds: Of the images, lower and upper (null: [0, 1]).
        confidence: Of the intervals.
        seed: Of targets, attack and noise.
        chunk: Images at once; another number gives other targets and noise.
        models_dir: Where trained models are saved (null: `models` in `out_dir`).
        workers: Processes that train models; 0 for none but this.
        trainer: Options of Lightning's Trainer: accelerator, devices, strategy, precision.
        title: Heading.
    """

    LACK: ClassVar[str]
    """What becomes of models that failed, behind their names."""

    models: Mapping[str, Source]
    data: LightningDataModule
    out_dir: str
    split: Split = "test"
    limit: int | None = None
    attack: Attack | None = None
    goal: Goal | None = None
    bounds: Bounds | None = ExampleJob.bounds
    confidence: float = 0.95
    seed: int = ExampleJob.seed
    chunk: int = ExampleJob.chunk
    models_dir: str | None = None
    workers: int = 0
    trainer: dict[str, Any] = field(default_factory=dict)
    title: str = ""

    @abstractmethod
    def job(self) -> Job:
        """Return how examples are made and what is measured, as the options have it."""

    @abstractmethod
    def measure(
        self, trainer: Trainer, models: Models, job: Job, failures: dict[str, str]
    ) -> Found | None:
        """Make the examples and measure all models.

        Args:
            trainer: Runs over the data.
            models: Those that could be loaded.
            job: What is asked for.
            failures: Why the others could not, by name.

        Returns:
            What is found; None on all processes but the first.
        """

    @abstractmethod
    def report(self, found: Found, job: Job) -> Report:
        """Return how it is shown."""

    def run(self, output: TextIO | None = None) -> Found | None:
        """Do what is not done yet, write the files and print the tables.

        Args:
            output: Where the tables go; standard output where None.

        Returns:
            The result; None on all processes but the first.

        Raises:
            UsageError: The study cannot be understood.
            UserError: Something does not fit; or models failed (after everything else is done and
                written).
        """
        job = self.check()
        trainer = quiet_trainer(self.trainer)
        models, failures = load_models(self.models, self.out_dir, self.models_dir, self.workers)
        found = self.measure(trainer, Models(models), job, failures)
        if found is None:
            return None
        report = self.report(found, job)
        files = report.write(Path(self.out_dir))
        print(f"{report.screen()}\n{', '.join(files)} in {self.out_dir}", file=output or sys.stdout)
        if found.failures:
            names = ", ".join(map(repr, found.failures))
            raise UserError(f"{names} failed, and {self.LACK}: see above.")
        return found

    def check(self) -> Job:
        """Refuse what is no study, before any work.

        Returns:
            What is asked for.

        Raises:
            UsageError: With what to do.
        """
        check_options(self.models, self.out_dir, self.limit, self.confidence, self.workers)
        job = self.job()
        job.check()
        return job

    def example_options(self) -> dict[str, Any]:
        """Return those options that say how examples are made."""
        return {
            "attack": self.attack or default_attack(),
            "goal": self.goal or RandomTargets(),
            "bounds": self.bounds,
            "seed": self.seed,
            "chunk": self.chunk,
        }

    def pass_over(self, data: SplitData, job: Job, failures: Mapping[str, str]) -> StudyPass[Job]:
        """Return a pass of the study's models over data."""
        return StudyPass(Path(self.out_dir), job, data, list(self.models), failures)

    def run_over(
        self, loop: ExamplesRun[Job, Found], trainer: Trainer, models: Models
    ) -> Found | None:
        """Run a loop over its data and return what it finds; None on all processes but the first.

        Raises:
            InterruptedRunError: The user stopped it.
        """
        run_loop(trainer, models, loop, lambda: saved_in(self.out_dir))
        if loop.found is None and starts_processes(trainer):
            loop.read_back(trainer, models)
        return loop.found
