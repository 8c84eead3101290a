"""What is asked for: the options of `lightning ablate`, and what is done with them."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from lit_intriguing.commands.ablate.checks import check, note_other_program, note_other_study
from lit_intriguing.commands.ablate.output import (
    COLUMNS,
    COMPARISON_COLUMNS,
    RowSummary,
    comparison_table,
    failures,
    final_table,
    write_files,
)
from lit_intriguing.commands.ablate.plan import Plan, Row
from lit_intriguing.commands.ablate.run import AblationRun
from lit_intriguing.configuration.merging import merged_files
from lit_intriguing.configuration.patches import Patch, merged
from lit_intriguing.errors import UsageError, UserError
from lit_intriguing.spelling import did_you_mean
from lit_intriguing.tables import terminal_table
from lit_intriguing.training_runs.measure import Measure, train_and_measure
from lit_intriguing.training_runs.store import RunStore
from lit_intriguing.whole_files import check_folder


@dataclass
class Ablation:
    """A comparison of variants of a recipe.

    For each row, every candidate is trained with each of `tune_seeds` on what `tuning` leaves of
    the training images and measured on the held-out ones; the candidate with the lowest mean is
    then trained with each of `seeds` on all training images, and the last epoch's weights are
    measured once on the test set. No test error takes part in any choice.

    Changes (`overrides`, `tuning`, `candidates`) are configurations merged into the base: a
    mapping key by key, null deletes, and in a list of callbacks an entry is named by its class
    (see `lit_intriguing.configuration.patches.merged`).

    Args:
        base: A `fit` configuration: a file, or the name of a shipped recipe.
        rows: Name to row.
        seeds: Of the reported runs; at least five make a standard deviation worth printing.
        out_dir: Where results go: one file a run in `runs/`, `ablation.csv`, `.md` and `.png`;
            `comparison.csv` where rows name another that they are compared with (`against`).
        overrides: Change to the base for all rows.
        tuning: Change for tuning runs: the validation split.
        tune_seeds: Of the tuning runs.
        seed_keys: Where in the configuration a run's seed goes.
        workers: Processes, each with one thread; 0 for none but this.
        only: Rows to run, where not all.
        redo: Train again what other sources of this package have trained, and replace the result.
        title: Heading of the page and the figure.
        reference: An error to compare with, in per cent.
        reference_label: What it is.
    """

    base: str
    rows: dict[str, Row]
    seeds: list[int]
    out_dir: str
    overrides: Patch = field(default_factory=dict)
    tuning: Patch = field(default_factory=dict)
    tune_seeds: list[int] = field(default_factory=lambda: [0])
    seed_keys: list[str] = field(default_factory=lambda: ["seed_everything"])
    workers: int = 1
    only: list[str] | None = None
    redo: bool = False
    title: str = "Ablation"
    reference: float | None = None
    reference_label: str = ""

    def run(
        self, measure: Measure = train_and_measure, output: TextIO | None = None
    ) -> dict[str, RowSummary]:
        """Do what is not done yet, write the files and print the table.

        Args:
            measure: What trains and measures; with workers, a function that can be imported.
            output: Where the table goes; standard output where None.

        Returns:
            Name to result of each row.

        Raises:
            UsageError: The study or a configuration cannot be understood.
            UserError: A configuration cannot be built, or runs failed (after everything else is
                done and written).
        """
        check_folder(Path(self.out_dir))
        plan = self.plan()
        store = RunStore(Path(self.out_dir) / "runs", self.redo)
        if measure is train_and_measure:  # another one need not build anything
            for data in check(plan, store):
                data.prepare_data()
        note_other_study(Path(self.out_dir), plan)
        note_other_program(plan, store)
        rows = AblationRun(store, measure, self.workers).all_rows(plan)
        write_files(
            rows,
            Path(self.out_dir),
            title=self.title,
            reference=self.reference,
            reference_label=self.reference_label,
        )
        table = terminal_table(COLUMNS, final_table(rows))
        if compared := comparison_table(rows):
            table += "\ndifferences, seed by seed, percentage points\n"
            table += terminal_table(COMPARISON_COLUMNS, compared)
        print(f"test error, %\n{table}\nfiles in {self.out_dir}", file=output or sys.stdout)
        if failed := failures(rows):
            lines = "\n  ".join(failed)
            raise UserError(
                f"runs failed, and the table lacks them:\n  {lines}\nTheir tracebacks are in"
                f" {store.folder}; the same command tries them again."
            )
        return rows

    def plan(self) -> Plan:
        """Return the study's runs.

        Raises:
            UsageError: Rows, seeds or budgets do not make a study, or the base cannot be read.
        """
        self._check()
        rows = self.rows if self.only is None else {name: self.rows[name] for name in self.only}
        base = merged(merged_files([self.base]), self.overrides)
        plan = Plan(base, rows, self.seeds, self.tune_seeds, self.tuning, self.seed_keys)
        for key in plan.candidates():  # what cannot be merged is refused here
            plan.tune_runs(*key)
            plan.final_runs(*key)
        plan.check_seed_keys()
        return plan

    def _check(self) -> None:
        if not self.rows:
            raise UsageError("the study has no rows: give at least one under `rows`.")
        for name in self.only or []:
            if name not in self.rows:
                known = ", ".join(map(repr, self.rows))
                raise UsageError(
                    f"no row {name!r}: the study has {known}.{did_you_mean(name, self.rows)}"
                )
        for name, row in self.rows.items():
            others = [one for one in self.rows if one != name]
            if row.against is not None and row.against not in others:
                raise UsageError(
                    f"row {name!r}: against: {row.against!r} is none of the other rows"
                    f" ({', '.join(map(repr, others))}).{did_you_mean(row.against, others)}"
                )
        if self.only is not None and not self.only:
            raise UsageError("`only` names no row: leave it out to run all rows.")
        budgets = {name: len(row.candidates) for name, row in self.rows.items()}
        if len(set(budgets.values())) > 1:
            counts = ", ".join(f"{name!r} {count}" for name, count in budgets.items())
            raise UsageError(
                f"the rows have unequal tuning budgets, so they cannot be compared: {counts}"
                " candidates. Give each row the same number (an empty one, {}, changes nothing)."
            )
        if 0 in budgets.values():
            raise UsageError("the rows have no candidates: give each at least one ({} will do).")
        _check_seeds("seeds", self.seeds)
        if max(budgets.values()) > 1:
            _check_seeds("tune_seeds", self.tune_seeds)
        if self.workers < 0:
            raise UsageError(f"workers must be 0 or more, not {self.workers}.")


def _check_seeds(name: str, seeds: Sequence[int]) -> None:
    if not seeds:
        raise UsageError(f"the study has no {name}: give at least one, for instance {name}: [0].")
    if len(set(seeds)) < len(seeds):
        raise UsageError(f"{name} holds a seed twice, which would count one run twice: {seeds}.")
