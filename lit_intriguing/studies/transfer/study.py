"""The transfer study: models, adversarial examples made for each, every model's errors on all."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TextIO

from lightning.pytorch import LightningDataModule, Trainer
from torch import Tensor, nn

from lit_intriguing.attacking.attack_rows import CHUNK
from lit_intriguing.attacking.chunk_loop import run_loop
from lit_intriguing.attacking.job import Split, default_attack
from lit_intriguing.attacking.split_data import SplitData
from lit_intriguing.attacks import Attack, Goal, RandomTargets
from lit_intriguing.errors import UsageError, UserError
from lit_intriguing.spelling import did_you_mean
from lit_intriguing.studies.transfer.examples_run import Models
from lit_intriguing.studies.transfer.job import TransferJob
from lit_intriguing.studies.transfer.loading import (
    check_options,
    kept,
    load_models,
    quiet_trainer,
)
from lit_intriguing.studies.transfer.output import PaperRow, Report
from lit_intriguing.studies.transfer.pictures import write_pictures
from lit_intriguing.studies.transfer.sources import ModelSource, instance
from lit_intriguing.studies.transfer.table import Interval, Line, Table
from lit_intriguing.studies.transfer.transfer_run import TransferRun
from lit_intriguing.types import Bounds


@dataclass(frozen=True)
class CleanRows:
    """A whole split that every model is measured on, as it is.

    Attributes:
        split: Which part.
        data: `class_path` and `init_args` of a data module; the study's own where null.
    """

    split: Split
    data: dict[str, Any] | None = None


@dataclass
class TransferMatrix:
    """How adversarial examples made for each model fool all of them.

    Szegedy et al. 2013, tables 2 and 4. The rows are the first `limit` of a split, in the data
    set's own order, the same for every model. Each model's examples aim at the same labels. All
    rows are attacked, also those that a model gets wrong as they are, as the paper's errors on
    noise have it; the examples that reach their goal are the set, and a model's error on a set is
    the share of answers that are not the true label, so that the diagonal is 100%. What was done is
    kept under `out_dir`, and used again where weights, rows and settings are the same.

    Args:
        models: Name to source; or, in Python, to any module or function that gives logits (N, C).
        data: Gives batches (images, labels).
        out_dir: Where everything goes: `transfer.csv`, `.md`, `.png`, and what is kept.
        split: Which rows are attacked.
        limit: Take no more rows than that.
        attack: The search (null: BoxLBFGS).
        goal: What it is to reach (null: RandomTargets, the paper's).
        bounds: Of the images, lower and upper (null: [0, 1]).
        only_correct: Attack, for each model, only the rows that it gets right.
        noise: Standard deviations of Gaussian noise, a fixed set of rows for each.
        amplify: Root mean square changes that the examples are brought to along their own
            direction; a set for each model and number.
        show: Draw so many rows, clean beside distorted, of each set of examples and of noise, as
            the paper's figure 7 does, into `examples.png`: the first that count in all these sets.
        clip: Keep noise and amplified examples in the bounds; the paper does not.
        clean: Whole splits to measure the errors on, by the name in the table.
        paper: The paper's numbers by the name in the table: errors in per cent, one a model, and
            the average distortion.
        confidence: Of the intervals.
        interval: wilson, or exact (Clopper and Pearson).
        seed: Of targets, attack and noise.
        chunk: Rows at once; another number gives other targets and noise.
        models_dir: Where trained models are kept (null: `models` in `out_dir`).
        workers: Processes that train models; 0 for none but this.
        trainer: Options of Lightning's Trainer: accelerator, devices, strategy, precision.
        title: Heading of the table.
    """

    models: Mapping[str, ModelSource | nn.Module | Callable[[Tensor], Tensor]]
    data: LightningDataModule
    out_dir: str
    split: Split = "test"
    limit: int | None = None
    attack: Attack | None = None
    goal: Goal | None = None
    bounds: Bounds | None = None
    only_correct: bool = False
    noise: list[float] = field(default_factory=list)
    amplify: list[float] = field(default_factory=list)
    show: int = 0
    clip: bool = False
    clean: dict[str, CleanRows] = field(default_factory=dict)
    paper: dict[str, PaperRow] = field(default_factory=dict)
    confidence: float = 0.95
    interval: Interval = "wilson"
    seed: int = 0
    chunk: int = CHUNK
    models_dir: str | None = None
    workers: int = 0
    trainer: dict[str, Any] = field(default_factory=dict)
    title: str = "Transfer"

    def run(self, output: TextIO | None = None) -> Table | None:
        """Does what is not done yet, writes the files and prints the table.

        Args:
            output: Where the table goes; standard output where None.

        Returns:
            The table; None on all processes but the first.

        Raises:
            UsageError: The study cannot be understood.
            UserError: Something does not fit; or models failed (after everything else is done and
                written).
        """
        job = self.check()
        trainer = quiet_trainer(self.trainer)
        models, failures = load_models(self.models, self.out_dir, self.models_dir, self.workers)
        table = self._tables(trainer, Models(models), job, failures)
        if table is None:
            return None
        report = Report(table, self.paper, self.confidence, self.interval, self.title)
        files = report.write(Path(self.out_dir))
        print(f"{report.screen()}\n{', '.join(files)} in {self.out_dir}", file=output or sys.stdout)
        if table.failures:
            names = ", ".join(map(repr, table.failures))
            raise UserError(f"{names} failed, and cells of the table are marked: see above.")
        return table

    def check(self) -> TransferJob:
        """Refuses what is no study, before any work.

        Returns:
            What is asked for.

        Raises:
            UsageError: With what to do.
        """
        check_options(self.models, self.out_dir, self.limit, self.confidence, self.workers)
        if not 0 <= self.show <= self.chunk:
            raise UsageError(f"show lies between 0 and chunk, {self.chunk}, not {self.show}.")
        job = TransferJob(
            self.attack or default_attack(), self.goal or RandomTargets(), self.bounds,
            self.only_correct, self.seed, self.chunk, tuple(self.noise), tuple(self.amplify),
            self.clip,
        )  # fmt: skip
        job.check()
        self._check_paper([*(one.title for one in job.sets(self.models)), *self.clean])
        return job

    def _check_paper(self, titles: list[str]) -> None:
        if len(set(titles)) < len(titles):
            raise UsageError(f"two lines of the table have the same name: {titles}.")
        for title, row in self.paper.items():
            if title not in titles:
                known = ", ".join(map(repr, titles))
                raise UsageError(
                    f"paper: no line {title!r}; the table has {known}.{did_you_mean(title, titles)}"
                )
            if row.errors and len(row.errors) != len(self.models):
                raise UsageError(
                    f"paper: {len(row.errors)} errors for {title!r}, the study has "
                    f"{len(self.models)} models."
                )

    def _tables(
        self, trainer: Trainer, models: Models, job: TransferJob, failures: dict[str, str]
    ) -> Table | None:
        """The main table, with the clean splits' lines before it."""
        main = self._pass(trainer, models, job, failures, self.data, self.split, self.limit, "")
        bare = replace(job, noise=(), amplify=(), adversarial=False)
        lines: list[Line] = []
        lost: dict[str, str] = {}
        for title, rows in self.clean.items():
            data = self.data if rows.data is None else instance(rows.data, LightningDataModule)
            found = self._pass(trainer, models, bare, failures, data, rows.split, None, title)
            if found is not None:
                lines.append(replace(found.lines[0], title=title))
                lost |= found.failures
        if main is None:
            return None
        return replace(main, lines=(*lines, *main.lines), failures={**lost, **main.failures})

    def _pass(
        self,
        trainer: Trainer,
        models: Models,
        job: TransferJob,
        failures: dict[str, str],
        data: LightningDataModule,
        split: Split,
        limit: int | None,
        title: str,
    ) -> Table | None:
        rows = SplitData(data, split, job.chunk, limit)
        names = list(self.models)
        loop = TransferRun(
            Path(self.out_dir), job, rows, names, failures, title or "examples and judging",
            self.show if job.adversarial else 0,
        )  # fmt: skip
        run_loop(trainer, models, loop, lambda: kept(self.out_dir))
        if loop.panels:
            write_pictures(loop.panels, Path(self.out_dir), self.title)
        return loop.table
