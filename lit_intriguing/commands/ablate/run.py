"""How it runs: what is to be done, in which order, and how far it is."""

from dataclasses import dataclass
from typing import TypeVar

from lit_intriguing.commands.ablate.output import RowSummary, Sample, choose
from lit_intriguing.commands.ablate.plan import Plan
from lit_intriguing.training_runs.measure import Measure
from lit_intriguing.training_runs.progress import Progress
from lit_intriguing.training_runs.store import Result, Run, RunStore, Stage
from lit_intriguing.training_runs.workers import run_all

K = TypeVar("K")


@dataclass
class AblationRun:
    """Carries a plan out.

    Attributes:
        store: What is done already, and where new results go.
        measure: What trains and measures.
        workers: Processes.
    """

    store: RunStore
    measure: Measure
    workers: int

    def __post_init__(self) -> None:
        """Start counting."""
        self.progress = Progress({}, self.workers)

    def all_rows(self, plan: Plan) -> dict[str, RowSummary]:
        """Tune all rows, choose, and do the reported runs.

        Args:
            plan: The study.

        Returns:
            Name to result of each row.
        """
        # Until candidates are chosen, this many reported runs are expected.
        self.progress.totals[Stage.FINAL] = len(plan.rows) * len(plan.seeds)
        try:
            tuned = self._tune(plan)
            chosen = {name: choose(tuned[name]) if tuned[name] else 0 for name in plan.rows}
            final = self._samples(
                Stage.FINAL,
                {
                    name: [] if number is None else plan.final_runs(name, number)
                    for name, number in chosen.items()
                },
            )
        finally:
            self.progress.close()
        return {
            name: RowSummary(row.candidates, tuned[name], chosen[name], final[name], row.against)
            for name, row in plan.rows.items()
        }

    def _tune(self, plan: Plan) -> dict[str, list[Sample]]:
        if plan.budget == 1:
            return {name: [] for name in plan.rows}
        samples = self._samples(
            Stage.TUNE, {key: plan.tune_runs(*key) for key in plan.candidates()}
        )
        return {
            name: [samples[name, number] for number in range(plan.budget)] for name in plan.rows
        }

    def _samples(self, stage: Stage, groups: dict[K, list[Run]]) -> dict[K, Sample]:
        """Do all runs of all groups of a stage, each distinct one once."""
        distinct = {run.key: run for runs in groups.values() for run in runs}
        self.progress.totals[stage] = len(distinct)
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
