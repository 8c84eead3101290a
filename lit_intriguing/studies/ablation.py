"""An ablation: rows with equal tuning budgets, chosen on held-out images, several seeds each."""

import hashlib
import io
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO, TypeVar

from lightning.pytorch.utilities.seed import isolate_rng

from lit_intriguing import parse_errors
from lit_intriguing.errors import UserError
from lit_intriguing.spelling import did_you_mean
from lit_intriguing.studies.measure import Measure, build, measure, silence
from lit_intriguing.studies.patches import merged
from lit_intriguing.studies.plan import Plan, Row, load_config
from lit_intriguing.studies.progress import Progress
from lit_intriguing.studies.runs import Result, Run, RunStore, Stage
from lit_intriguing.studies.summary import (
    COLUMNS,
    RowSummary,
    Sample,
    choose,
    failures,
    final_table,
    screen_table,
    write_files,
)
from lit_intriguing.studies.workers import run_all

K = TypeVar("K")


@dataclass
class Ablation:
    """Compares variants of a recipe.

    For each row, every candidate is trained with each of `tune_seeds` on what `tuning` leaves of
    the training images and measured on the held-out ones; the candidate with the lowest mean is
    then trained with each of `seeds` on all training images, and the last epoch's weights are
    measured once on the test set. No test error takes part in any choice.

    Changes (`overrides`, `tuning`, `candidates`) are configurations merged into the base: a
    mapping key by key, null deletes, and in a list of callbacks an entry is named by its class
    (see `lit_intriguing.studies.patches.merged`).

    Args:
        base: A `fit` configuration: a file, or the name of a shipped recipe.
        rows: Name to row.
        seeds: Of the reported runs; at least five make a standard deviation worth printing.
        out_dir: Where results go: one file a run in `runs/`, `ablation.csv`, `.md` and `.png`.
        overrides: Change to the base for all rows.
        tuning: Change for tuning runs: the validation split.
        tune_seeds: Of the tuning runs.
        seed_keys: Where in the configuration a run's seed goes.
        workers: Processes, each with one thread; 0 for none but this.
        only: Rows to run, where not all.
        title: Heading of the page and the figure.
        reference: An error to compare with, in per cent.
        reference_label: What it is.
    """

    base: str
    rows: dict[str, Row]
    seeds: list[int]
    out_dir: str
    overrides: dict[str, Any] = field(default_factory=dict)
    tuning: dict[str, Any] = field(default_factory=dict)
    tune_seeds: list[int] = field(default_factory=lambda: [0])
    seed_keys: list[str] = field(default_factory=lambda: ["seed_everything"])
    workers: int = 1
    only: list[str] | None = None
    title: str = "Ablation"
    reference: float | None = None
    reference_label: str = ""

    def run(
        self, measure: Measure = measure, output: TextIO | None = None
    ) -> dict[str, RowSummary]:
        """Does what is not done yet, writes the files and prints the table.

        Args:
            measure: What trains and measures; with workers, a function that can be imported.
            output: Where the table goes; standard output where None.

        Returns:
            Name to result of each row.

        Raises:
            UserError: The study cannot be understood, a configuration cannot be built, or runs
                failed (after everything else is done and written).
        """
        plan = self.plan()
        store = RunStore(Path(self.out_dir) / "runs")
        if measure is _default_measure:
            check(plan, store)
        note_other_study(Path(self.out_dir), plan)
        executor = Executor(store, measure, self.workers, _totals(plan))
        rows = executor.all_rows(plan)
        write_files(
            rows,
            Path(self.out_dir),
            title=self.title,
            reference=self.reference,
            reference_label=self.reference_label,
        )
        table = screen_table(COLUMNS, final_table(rows))
        print(f"test error, %\n{table}\nfiles in {self.out_dir}", file=output or sys.stdout)
        if failed := failures(rows):
            lines = "\n  ".join(failed)
            raise UserError(
                f"runs failed, and the table lacks them:\n  {lines}\nTheir tracebacks are in"
                f" {store.folder}; the same command tries them again."
            )
        return rows

    def plan(self) -> Plan:
        """The study's runs.

        Raises:
            UserError: Rows, seeds or budgets do not make a study, or the base cannot be read.
        """
        self._check()
        rows = self.rows if self.only is None else {name: self.rows[name] for name in self.only}
        base = merged(load_config(self.base), self.overrides)
        plan = Plan(base, rows, self.seeds, self.tune_seeds, self.tuning, self.seed_keys)
        for key in plan.candidates():  # what cannot be merged is refused here
            plan.tune_runs(*key)
            plan.final_runs(*key)
        return plan

    def _check(self) -> None:
        if not self.rows:
            raise UserError("the study has no rows: give at least one under `rows`.")
        for name in self.only or []:
            if name not in self.rows:
                known = ", ".join(map(repr, self.rows))
                raise UserError(
                    f"no row {name!r}: the study has {known}.{did_you_mean(name, self.rows)}"
                )
        if self.only is not None and not self.only:
            raise UserError("`only` names no row: leave it out to run all rows.")
        budgets = {name: len(row.candidates) for name, row in self.rows.items()}
        if len(set(budgets.values())) > 1:
            told = ", ".join(f"{name!r} {count}" for name, count in budgets.items())
            raise UserError(
                f"the rows have unequal tuning budgets, so they cannot be compared: {told}"
                " candidates. Give each row the same number (an empty one, {}, changes nothing)."
            )
        if 0 in budgets.values():
            raise UserError("the rows have no candidates: give each at least one ({} will do).")
        _check_seeds("seeds", self.seeds)
        if max(budgets.values()) > 1:
            _check_seeds("tune_seeds", self.tune_seeds)
        if self.workers < 0:
            raise UserError(f"workers must be 0 or more, not {self.workers}.")


_default_measure = measure


def _check_seeds(name: str, seeds: Sequence[int]) -> None:
    if not seeds:
        raise UserError(f"the study has no {name}: give at least one, for instance {name}: [0].")
    if len(set(seeds)) < len(seeds):
        raise UserError(f"{name} holds a seed twice, which would count one run twice: {seeds}.")


@dataclass
class Executor:
    """Carries a plan out.

    Attributes:
        store: What is done already, and where new results go.
        measure: What trains and measures.
        workers: Processes.
        totals: Number of runs a stage, for the progress line.
    """

    store: RunStore
    measure: Measure
    workers: int
    totals: dict[Stage, int]

    def __post_init__(self) -> None:
        """Starts counting."""
        self.progress = Progress(self.totals, self.workers)

    def all_rows(self, plan: Plan) -> dict[str, RowSummary]:
        """Tunes all rows, chooses, and does the reported runs."""
        try:
            tuned = self._tune(plan)
            chosen = {name: choose(tuned[name]) if tuned[name] else 0 for name in plan.rows}
            final = self._samples(
                {
                    name: [] if number is None else plan.final_runs(name, number)
                    for name, number in chosen.items()
                }
            )
        finally:
            self.progress.close()
        return {
            name: RowSummary(row.candidates, tuned[name], chosen[name], final[name])
            for name, row in plan.rows.items()
        }

    def _tune(self, plan: Plan) -> dict[str, list[Sample]]:
        if plan.budget == 1:
            return {name: [] for name in plan.rows}
        samples = self._samples({key: plan.tune_runs(*key) for key in plan.candidates()})
        return {
            name: [samples[name, number] for number in range(plan.budget)] for name in plan.rows
        }

    def _samples(self, groups: dict[K, list[Run]]) -> dict[K, Sample]:
        """Does all runs of all groups, each distinct one once."""
        distinct = {run.key: run for runs in groups.values() for run in runs}
        results: dict[str, Result] = {}
        for key, run in distinct.items():
            if (stored := self.store.done(run)) is not None:
                results[key] = stored
                self.progress.add(run, stored, reused=True)
        todo = [run for key, run in distinct.items() if key not in results]
        for run, result in run_all(todo, self.store, self.measure, self.workers):
            results[run.key] = result
            self.progress.add(run, result)
        return {key: Sample([results[run.key] for run in runs]) for key, runs in groups.items()}


def _totals(plan: Plan) -> dict[Stage, int]:
    tune = {run.key for key in plan.candidates() for run in plan.tune_runs(*key)}
    return {Stage.TUNE: len(tune), Stage.FINAL: len(plan.rows) * len(plan.seeds)}


def check(plan: Plan, store: RunStore) -> None:
    """Builds what is not done yet, each candidate once, and has its data prepared.

    Args:
        plan: The study.
        store: What is done.

    Raises:
        UserError: One cannot be built; the message says which.
    """
    prepared = set()
    for name, number in plan.candidates():
        # Neither the seed nor, after a row's first candidate, the validation split makes a
        # difference to whether it can be built.
        tune = plan.tune_runs(name, number) if number == 0 else []
        for runs in (tune, plan.final_runs(name, number)):
            if all(store.done(run) for run in runs):
                continue
            data = json.dumps(runs[0].config.get("data"), sort_keys=True)
            _check_one(runs[0], f"row {name!r}, candidate {number + 1}", data not in prepared)
            prepared.add(data)


def _check_one(run: Run, place: str, prepare_data: bool) -> None:
    try:
        with silence(io.StringIO()), isolate_rng():
            cli = build(run.config)
    except (Exception, SystemExit) as error:
        raise UserError(f"{place}: {parse_errors.one_line(str(error))}") from error
    # Outside of the silence: a download shows its progress.
    if prepare_data and cli.datamodule is not None:
        cli.datamodule.prepare_data()


def note_other_study(folder: Path, plan: Plan) -> None:
    """Says so if a folder holds another study's results, and writes down whose they are now.

    Args:
        folder: The study's `out_dir`.
        plan: The study that is to go there.
    """
    text = json.dumps([plan.base, {name: vars(row) for name, row in plan.rows.items()}])
    mine = hashlib.sha256(text.encode()).hexdigest()
    file = folder / "study.json"
    if file.is_file() and json.loads(file.read_text(encoding="utf-8"))["study"] != mine:
        print(
            f"note: {folder} holds runs of another study, or of other rows; what this one shares"
            " with it is used, the rest is kept, and ablation.* is written anew.",
            file=sys.stderr,
        )
    folder.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"study": mine}) + "\n", encoding="utf-8")
