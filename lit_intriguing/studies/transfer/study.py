"""The transfer study: models, adversarial examples made for each, every model's errors on all."""

import io
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TextIO

from lightning.pytorch import LightningDataModule, Trainer
from lightning.pytorch.utilities.seed import isolate_rng
from torch import Tensor, nn

from lit_intriguing.attacking.attack_rows import CHUNK
from lit_intriguing.attacking.chunk_loop import run_loop
from lit_intriguing.attacking.job import Split, default_attack
from lit_intriguing.attacking.split_data import SplitData
from lit_intriguing.attacks import Attack, Goal, RandomTargets
from lit_intriguing.command.parse_errors import one_line
from lit_intriguing.errors import InterruptedRunError, UsageError, UserError
from lit_intriguing.spelling import did_you_mean
from lit_intriguing.studies.measure import silence
from lit_intriguing.studies.patches import Config
from lit_intriguing.studies.runs import Run, Stage
from lit_intriguing.studies.transfer.job import TransferJob
from lit_intriguing.studies.transfer.output import PaperRow, Report
from lit_intriguing.studies.transfer.sources import Function, ModelSource, instance, load_model
from lit_intriguing.studies.transfer.table import Interval, Line, Table
from lit_intriguing.studies.transfer.training import Training
from lit_intriguing.studies.transfer.transfer_run import Models, TransferRun
from lit_intriguing.types import Bounds

QUIET = {"logger": False, "enable_checkpointing": False, "enable_model_summary": False}


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
        trainer = self._trainer()
        try:
            models, failures = self._models()
        except KeyboardInterrupt as error:
            raise InterruptedRunError(f"interrupted. {self._kept()}: {_GO_ON}") from error
        if not models:
            reasons = "\n  ".join(f"{name!r}: {reason}" for name, reason in failures.items())
            raise UserError(f"none of the models could be had:\n  {reasons}")
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
        if not self.models:
            raise UsageError("the study has no models: give at least one under `models`.")
        for name, source in self.models.items():
            if isinstance(source, ModelSource):
                try:
                    source.check()
                except UsageError as error:
                    raise UsageError(f"model {name!r}: {error}") from error
        if self.limit is not None and self.limit < 1:
            raise UsageError(f"limit must be at least 1, not {self.limit}.")
        if not 0 < self.confidence < 1:
            raise UsageError(f"confidence lies between 0 and 1, not {self.confidence}.")
        if self.workers < 0:
            raise UsageError(f"workers must be 0 or more, not {self.workers}.")
        job = TransferJob(
            self.attack or default_attack(), self.goal or RandomTargets(), self.bounds,
            self.only_correct, tuple(self.noise), tuple(self.amplify), self.clip, self.seed,
            self.chunk,
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

    def _trainer(self) -> Trainer:
        try:
            return Trainer(**(QUIET | self.trainer))
        except (TypeError, ValueError) as error:
            raise UsageError(f"trainer: {one_line(str(error))}") from error

    def _models(self) -> tuple[dict[str, nn.Module], dict[str, str]]:
        """The models that could be had, and why the others could not."""
        sources = {n: s for n, s in self.models.items() if isinstance(s, ModelSource)}
        training = Training(Path(self.models_dir or f"{self.out_dir}/models"), self.workers)
        configs = training.configs(sources)
        runs = {
            name: Run(Stage.FINAL, config)
            for name, config in configs.items()
            if sources[name].trains
        }
        weights = training.weights(runs)
        failures = dict(training.failures)
        models: dict[str, nn.Module] = {}
        for name, source in self.models.items():
            if name in failures:
                continue
            try:
                with silence(io.StringIO()), isolate_rng():
                    models[name] = _loaded(source, configs.get(name), weights.get(name))
            except (Exception, SystemExit) as error:
                failures[name] = one_line(str(error)) or type(error).__name__
        return models, failures

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
            Path(self.out_dir), job, rows, names, failures, title or "examples and judging"
        )
        run_loop(trainer, models, loop, self._kept)
        return loop.table

    def _kept(self) -> str:
        return f"What is done is kept in {self.out_dir}"


def _loaded(
    source: ModelSource | nn.Module | Callable[[Tensor], Tensor],
    config: Config | None,
    weights: Path | None,
) -> nn.Module:
    if isinstance(source, ModelSource):
        return load_model(source, config, weights)
    return source if isinstance(source, nn.Module) else Function(source)


_GO_ON = "the same command goes on from there."
