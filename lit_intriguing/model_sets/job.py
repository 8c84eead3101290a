"""What studies of several models have in common: their options, and how they run."""

import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TextIO, TypeVar

from lightning.pytorch import LightningDataModule, Trainer

from lit_intriguing.attacks import Attack, Goal, RandomTargets
from lit_intriguing.attacks.attack_tensors import CHUNK
from lit_intriguing.commands.attack.job import default_attack
from lit_intriguing.errors import UserError
from lit_intriguing.model_sets.examples import ExampleJob
from lit_intriguing.model_sets.loading import (
    Source,
    check_options,
    load_models,
    quiet_trainer,
)
from lit_intriguing.model_sets.run import Models
from lit_intriguing.splits.split import Split
from lit_intriguing.types import Bounds


class Result(Protocol):
    """What a study finds."""

    @property
    def failures(self) -> Mapping[str, str]:
        """Why models are missing in it, by their names."""


class Report(Protocol):
    """How it is shown."""

    def screen(self) -> str:
        """For a terminal."""

    def write(self, folder: Path) -> list[str]:
        """Writes all files; returns their names."""


Job = TypeVar("Job", bound=ExampleJob)
Found = TypeVar("Found", bound=Result)


@dataclass
class ExampleStudy(ABC, Generic[Job, Found]):
    """A study of adversarial examples made for each of several models.

    What is done is kept under `out_dir`, and used again where weights, rows and settings are the
    same. A subclass says what is asked for (`job`), what is found (`measure`), and how that is
    shown (`report`).

    Args:
        models: Name to source; or, in Python, to any module or function that gives logits (N, C).
        data: Gives batches (images, labels).
        out_dir: Where everything goes.
        split: Which rows are taken.
        limit: Take no more rows than that.
        attack: Finds the examples (null: BoxLBFGS).
        goal: What it is to reach (null: RandomTargets, the paper's).
        bounds: Of the images, lower and upper (null: [0, 1]).
        confidence: Of the intervals.
        seed: Of targets, attack and noise.
        chunk: Rows at once; another number gives other targets and noise.
        models_dir: Where trained models are kept (null: `models` in `out_dir`).
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
    bounds: Bounds | None = None
    confidence: float = 0.95
    seed: int = 0
    chunk: int = CHUNK
    models_dir: str | None = None
    workers: int = 0
    trainer: dict[str, Any] = field(default_factory=dict)
    title: str = ""

    @abstractmethod
    def job(self) -> Job:
        """What is asked for, as the options have it."""

    @abstractmethod
    def measure(
        self, trainer: Trainer, models: Models, job: Job, failures: dict[str, str]
    ) -> Found | None:
        """Makes the examples and what is asked of them.

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
        """How it is shown."""

    def run(self, output: TextIO | None = None) -> Found | None:
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
        """Refuses what is no study, before any work.

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
        """Those of the job that say how examples are made."""
        return {
            "attack": self.attack or default_attack(),
            "goal": self.goal or RandomTargets(),
            "bounds": self.bounds,
            "seed": self.seed,
            "chunk": self.chunk,
        }
