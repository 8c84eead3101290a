"""What a reproduction has done: a file for each step, written when the step ends."""

import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from importlib import metadata
from pathlib import Path
from typing import Any

from lit_intriguing.errors import DamagedFileError
from lit_intriguing.paper.plan import Step
from lit_intriguing.whole_files import read_checked_json, write_checked_json

FOLDER = "steps"
"""Below the output: records and what each step printed."""
LIBRARIES = ("lightning", "torch", "torchvision", "torchmetrics", "numpy", "scipy", "scikit-learn")


@dataclass(frozen=True)
class Record:
    """How a step ended.

    Attributes:
        command: Its words, behind `lightning`.
        status: Exit status; 0 for a step that is done.
        seconds: That it took; of a step that was stopped, the last try's.
        date: Of its end.
        program: Version of this package and a hash of its sources.
        versions: Of Python and libraries.
        reason: The last line that a failed step printed.
    """

    command: Sequence[str]
    status: int
    seconds: float
    date: str
    program: dict[str, str]
    versions: dict[str, str]
    reason: str = ""


@dataclass(frozen=True)
class Records:
    """The records of a folder.

    Attributes:
        output: The folder of the reproduction.
    """

    output: Path

    def log(self, step: Step) -> Path:
        """Return the file of what a step prints."""
        return self.output / FOLDER / f"{step.name}.txt"

    def save(self, step: Step, record: Record) -> None:
        """Write a step's record; a crash leaves no half file."""
        write_checked_json(self._path(step), asdict(record))

    def load(self, step: Step) -> Record | None:
        """Return a step's record; None where there is none that can be read."""
        content = self._read(self._path(step))
        try:
            return Record(**{one.name: content[one.name] for one in fields(Record)})
        except KeyError:
            return None

    def done(self, step: Step) -> Record | None:
        """Return the record of a step that needs no further run: done, and its results are there.

        A step whose command has changed since is not done.
        """
        record = self.load(step)
        if record is None or record.status or not (self.output / step.folder).is_dir():
            return None
        return record if list(record.command) == step.words(self.output) else None

    def plan(self) -> str | None:
        """Return the name of the plan that the folder belongs to; None before there is one."""
        name = self._read(self.output / FOLDER / "plan.json").get("plan")
        return name if isinstance(name, str) else None

    def begin(self, plan: str) -> None:
        """Note which plan the folder belongs to."""
        write_checked_json(self.output / FOLDER / "plan.json", {"plan": plan})

    def _path(self, step: Step) -> Path:
        return self.output / FOLDER / f"{step.name}.json"

    def _read(self, path: Path) -> dict[str, Any]:
        try:
            return read_checked_json(path, "it is made again")
        except DamagedFileError:
            return {}


def versions() -> dict[str, str]:
    """Return the versions of Python and the libraries that results depend on."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
