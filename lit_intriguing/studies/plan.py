"""From rows and candidates to runs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import get_loader

from lit_intriguing.command import shipped
from lit_intriguing.errors import UsageError
from lit_intriguing.spelling import did_you_mean
from lit_intriguing.studies.patches import Config, class_name, merged
from lit_intriguing.studies.runs import Run, Stage


@dataclass
class Row:
    """One line of an ablation's table.

    Attributes:
        candidates: The tuning budget: changes to try, each a configuration merged into the
            row's; as many as every other row has.
        overrides: What makes the row: a configuration merged into the study's.
    """

    candidates: list[dict[str, Any]]
    overrides: dict[str, Any] = field(default_factory=dict)


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
        """The tuning runs of a candidate, one a seed; none where there is nothing to choose."""
        if self.budget == 1:
            return []
        return [self._run(Stage.TUNE, row, candidate, seed) for seed in self.tune_seeds]

    def final_runs(self, row: str, candidate: int) -> list[Run]:
        """The reported runs of a row with a candidate, one a seed.

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
        """Every row's name with each of its candidates' numbers, counted from 0."""
        for name in self.rows:
            for candidate in range(self.budget):
                yield name, candidate

    def check_seed_keys(self) -> None:
        """Checks that each key at which a seed goes is in the base or in some row.

        Raises:
            UsageError: A key names a class that is in no list there.
        """
        configs = [self.base, *(self.final_runs(*key)[0].config for key in self.candidates())]
        for key in self.seed_keys:
            lacking = [_lacking(config, key.split(".")) for config in configs]
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


def load_config(name: str) -> Config:
    """Reads a configuration by the rules of the command line (1e-3 is a number).

    Args:
        name: A file, or the name of one that is shipped with the package.

    Returns:
        Its content.

    Raises:
        UsageError: There is no such file, or it is not a YAML mapping.
    """
    path = Path(shipped.find(name))
    try:
        content = get_loader("yaml")(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(f"{path} cannot be read as YAML: {error}") from error
    if not isinstance(content, dict):
        raise UsageError(f"{path}: expected keys and values, found a {type(content).__name__}.")
    return content


def with_value(config: Any, path: Sequence[str], value: Any) -> Any:
    """A copy of a configuration with one value set, unless a list on the way lacks the class.

    Args:
        config: A configuration.
        path: Keys from the outside in; an entry of a list is named by its class.
        value: What to set.

    Returns:
        The copy, or `config` itself.

    >>> with_value({"trainer": {"callbacks": [{"class_path": "a.Timer"}]}},
    ...            ["trainer", "callbacks", "Timer", "seed"], 3)
    {'trainer': {'callbacks': [{'class_path': 'a.Timer', 'seed': 3}]}}
    >>> with_value({"callbacks": []}, ["callbacks", "Timer", "seed"], 3)
    {'callbacks': []}
    """
    if _lacking(config, path):
        return config
    patch = value
    for key in reversed(path):
        patch = {key: patch}
    return merged(config, patch)


def _lacking(config: Any, path: Sequence[str]) -> tuple[str, list[str]] | None:
    """The class that a list on the way lacks, and those it has; None where there is a way."""
    inner = config
    for key in path:
        if isinstance(inner, list):
            names = [class_name(entry) for entry in inner]
            if key not in names:
                return key, names
            inner = inner[names.index(key)]
        else:
            inner = inner.get(key) if isinstance(inner, Mapping) else None
    return None
