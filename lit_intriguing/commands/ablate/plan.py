"""From rows and candidates to runs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from lit_intriguing.configuration.patches import Config, Patch, merged, missing_class, with_value
from lit_intriguing.errors import UsageError
from lit_intriguing.spelling import did_you_mean
from lit_intriguing.training_runs.store import Run, Stage


@dataclass
class Row:
    """One row of an ablation's table.

    Attributes:
        candidates: The tuning budget: changes to try, each a configuration merged into the
            row's; as many as every other row has.
        overrides: What makes the row: a configuration merged into the study's.
        against: Another row, which this one is compared with seed by seed.
    """

    candidates: list[Patch]
    overrides: Patch = field(default_factory=dict)
    against: str | None = None


@dataclass(frozen=True)
class Plan:
    """All runs of a study, before it is known which candidates will be chosen.

    Attributes:
        base: The complete `fit` configuration that every row starts from.
        rows: Name to row.
        seeds: Of the reported runs.
        tune_seeds: Of the tuning runs.
        tuning: Change for tuning runs: the validation split.
        seed_keys: Where in the configuration a run's seed goes, with dots; entries of lists are
            named by their class. A key whose class is not in a row's list is left out there.
    """

    base: Config
    rows: Mapping[str, Row]
    seeds: Sequence[int]
    tune_seeds: Sequence[int]
    tuning: Config
    seed_keys: Sequence[str]

    @property
    def budget(self) -> int:
        """Candidates a row."""
        return len(next(iter(self.rows.values())).candidates)

    def tune_runs(self, row: str, candidate: int) -> list[Run]:
        """Return a candidate's tuning runs, one a seed; none where there is nothing to choose."""
        if self.budget == 1:
            return []
        return [self._run(Stage.TUNE, row, candidate, seed) for seed in self.tune_seeds]

    def final_runs(self, row: str, candidate: int) -> list[Run]:
        """Return the reported runs of a row with a candidate, one a seed.

        Raises:
            UsageError: The seeds make no difference to the configuration.
        """
        runs = [self._run(Stage.FINAL, row, candidate, seed) for seed in self.seeds]
        if len({run.key for run in runs}) < len(runs):
            raise UsageError(
                f"row {row!r}: none of the seed_keys {list(self.seed_keys)} is in its"
                " configuration, so all seeds would be the same run."
            )
        return runs

    def candidates(self) -> Iterator[tuple[str, int]]:
        """Yield every row's name with each of its candidates' numbers, counted from 0."""
        for name in self.rows:
            for candidate in range(self.budget):
                yield name, candidate

    def check_seed_keys(self) -> None:
        """Check that each key at which a seed goes is in the base or in some row.

        Raises:
            UsageError: A key names a class that is in no list there.
        """
        configs = [self.base, *(self.final_runs(*key)[0].config for key in self.candidates())]
        for key in self.seed_keys:
            lacking = [missing_class(config, key.split(".")) for config in configs]
            if all(lacking):
                name, names = lacking[0] or ("", [])
                raise UsageError(
                    f"seed_keys: '{key}' is in no row's configuration: no {name!r} is in the list"
                    f" there.{did_you_mean(name, names)}"
                )

    def _run(self, stage: Stage, name: str, candidate: int, seed: int) -> Run:
        row = self.rows[name]
        patches = [row.overrides, row.candidates[candidate]]
        if stage is Stage.TUNE:
            patches.append(self.tuning)
        try:
            config = merged(self.base, *patches)
            for key in self.seed_keys:
                config = with_value(config, key.split("."), seed)
        except UsageError as error:
            raise UsageError(f"row {name!r}, candidate {candidate + 1}: {error}") from error
        return Run(stage, config)
