"""One run of a study, its result, and the folder where results are saved."""

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any

from lit_intriguing.configuration.patches import Config
from lit_intriguing.errors import DamagedFileError
from lit_intriguing.training_runs.provenance import this_program
from lit_intriguing.whole_files import read_checked_json, write_checked_json


class Stage(StrEnum):
    """What a run is for, and so on which images its weights are measured."""

    TUNE = "tune"
    """Choosing a candidate: on the validation split."""
    FINAL = "final"
    """The figure that is reported: on the test set, once."""


@dataclass(frozen=True)
class Run:
    """One training: a complete `fit` configuration, its seed included."""

    stage: Stage
    config: Config

    @cached_property
    def key(self) -> str:
        """Name of the result's file: a hash of stage and configuration, nothing else.

        Rows that ask for the same configuration share the run.
        """
        text = json.dumps([self.stage, self.config], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:20]


@dataclass(frozen=True)
class Result:
    """What came of a run: an error rate, or the reason why there is none."""

    seconds: float
    error: float | None = None
    """Share of wrong predictions."""
    failure: str | None = None
    """One line."""
    details: str = ""
    """Traceback and output of a run that failed."""


@dataclass(frozen=True)
class RunStore:
    """A folder with one JSON file a run, so that a study can be stopped and continued.

    Attributes:
        folder: Where they lie.
        redo: Whether results of other sources of this package count as not done.
    """

    folder: Path
    redo: bool = False

    def path(self, run: Run) -> Path:
        """Return where the result of a run is saved."""
        return self.folder / f"{run.key}.json"

    def load(self, run: Run) -> Result | None:
        """Return the stored result, failed runs included; None where there is no readable file."""
        try:
            return Result(**self._content(run)["result"])
        except (KeyError, TypeError):
            return None

    def failed_since(self, run: Run, moment: float) -> bool:
        """Return whether a failure was stored after a moment, in seconds since the epoch."""
        result = self.load(run)
        failed = result is not None and result.failure is not None
        return failed and self.path(run).stat().st_mtime >= moment

    def done(self, run: Run) -> Result | None:
        """Return the stored result if the run succeeded: a failed one is tried again."""
        result = self.load(run)
        if result is None or result.failure is not None or (self.redo and self.foreign(run)):
            return None
        return result

    def foreign(self, run: Run) -> bool:
        """Return whether the stored result was made by other sources than this program's."""
        program = self._content(run).get("program") or {}
        return bool(program.get("sources") != this_program()["sources"])

    def save(self, run: Run, result: Result) -> None:
        """Write a result, with the configuration it belongs to; a crash leaves no half file."""
        content: dict[str, Any] = {
            "stage": run.stage,
            "config": run.config,
            "program": this_program(),
            "result": asdict(replace(result, seconds=round(result.seconds, 2))),
        }
        write_checked_json(self.path(run), content)

    def _content(self, run: Run) -> dict[str, Any]:
        """Return what a run's file holds; nothing where there is no readable file."""
        try:
            return read_checked_json(self.path(run), "it is made again")
        except DamagedFileError:
            return {}
