"""The steps of a reproduction, in order, and what of the paper each of them makes."""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

FULL, QUICK = "full", "quick"
_CHECKPOINT = re.compile(r"\{ckpt:([^}]+)\}")


@dataclass(frozen=True)
class Place:
    """A table, a figure or a result of the paper, as a heading of the report.

    Attributes:
        name: Such as `table 2`.
        title: What it shows.
        paper: What the paper reports, in a sentence.
        view: Which of a result's tables it shows; empty for the main ones.
    """

    name: str
    title: str
    paper: str
    view: str = ""


@dataclass(frozen=True)
class Step:
    """One command of a reproduction.

    Attributes:
        name: No other step of its plan has it.
        title: What it does.
        command: The words behind `lightning`; `{ckpt:FOLDER}` is the newest checkpoint there.
        folder: Where its results are, below the output.
        minutes: That it took on one thread of the machine that the pages name.
        study: Steps that differ in their seed alone share it; else its name.
        shows: Names of the places that its results belong to.
        pages: Of the claims that it checks, below `recipes/`.
        further: Whether it goes beyond the paper, and runs only where that is asked for.
        modules: To be imported by it, and not of this package's dependencies.
        installed_by: Command that installs them.
        data: Files and folders of `$LIT_INTRIGUING_DATA` that it reads and nobody downloads.
    """

    name: str
    title: str
    command: tuple[str, ...]
    folder: str
    minutes: float
    study: str
    shows: tuple[str, ...] = ()
    pages: tuple[str, ...] = ()
    further: bool = False
    modules: tuple[str, ...] = ()
    installed_by: str = ""
    data: tuple[str, ...] = ()

    def needs(self) -> list[str]:
        """Return the folders whose checkpoints the command takes."""
        return [name for word in self.command for name in _CHECKPOINT.findall(word)]

    def uses(self, folder: str) -> bool:
        """Return whether the command names what is in a folder, below the output."""
        named = [_CHECKPOINT.sub(lambda found: found[1], word) for word in self.command]
        return any(f"{name}/".startswith(f"{folder}/") for name in named)

    def words(self, output: Path) -> list[str]:
        """Return the command with the checkpoints that there are; `<.ckpt of ...>` for others.

        Args:
            output: The folder of the reproduction; paths are relative to it.
        """
        return [
            _CHECKPOINT.sub(lambda found: _checkpoint(output, found[1]), word)
            for word in self.command
        ]

    def line(self, output: Path) -> str:
        """Return the command as it is typed in the folder of the reproduction."""
        return shlex.join(["lightning", *self.words(output)])


@dataclass(frozen=True)
class Plan:
    """A reproduction.

    Attributes:
        name: `FULL` or `QUICK`.
        places: All of the paper, in its order.
        steps: In the order in which they run.
        left_out: Place to the reason why this plan does not make it.
    """

    name: str
    places: tuple[Place, ...]
    steps: tuple[Step, ...]
    left_out: Mapping[str, str]

    def of_place(self, place: str) -> list[Step]:
        """Return the steps that make a place, each study once."""
        return _each_study_once(step for step in self.steps if place in step.shows)

    def of_page(self, page: str) -> list[Step]:
        """Return the steps that check the claims of a page, each study once."""
        return _each_study_once(step for step in self.steps if page in step.pages)

    def of_the_paper(self) -> "Plan":
        """Return the plan without the steps that go beyond the paper."""
        return replace(self, steps=tuple(step for step in self.steps if not step.further))

    def of_folder(self, folder: str) -> Step | None:
        """Return the step whose results a folder holds, or a folder in that."""
        for step in self.steps:
            if f"{folder}/".startswith(f"{step.folder}/"):
                return step
        return None


def read_plan(folder: Path, name: str) -> Plan:
    """Read a plan out of `reproduction.yaml`.

    Args:
        folder: Where that file is.
        name: `FULL` or `QUICK`.
    """
    text = (folder / "reproduction.yaml").read_text(encoding="utf-8")
    content = yaml.safe_load(text)
    steps = [step for one in content[name]["steps"] for step in _steps(one)]
    places = tuple(Place(**one) for one in content["places"])
    return Plan(name, places, tuple(steps), content[name].get("left_out", {}))


def newest_file(folder: Path, pattern: str) -> Path | None:
    """Return the newest file of a name's pattern in a folder and those within; None if none."""
    files = sorted(folder.rglob(pattern), key=lambda file: file.stat().st_mtime_ns)
    return files[-1] if files else None


def _steps(entry: Mapping[str, Any]) -> Iterator[Step]:
    """Yield an entry's steps, one for each of its seeds."""
    entry = dict(entry)
    seeds: Sequence[int | None] = entry.pop("seeds", None) or [None]
    for seed in seeds:
        kept = "" if seed is None else str(seed)
        yield Step(
            name=entry["name"] if seed is None else f"{entry['name']}_{seed}",
            title=entry["title"] if seed is None else f"{entry['title']}, seed {seed}",
            command=tuple(w.replace("{seed}", kept) for w in shlex.split(entry["command"])),
            folder=entry["folder"].replace("{seed}", kept),
            minutes=float(entry["minutes"]),
            study=entry["name"],
            shows=tuple(entry.get("shows", ())),
            pages=tuple(entry.get("pages", ())),
            further=entry.get("further", False),
            modules=tuple(entry.get("modules", ())),
            installed_by=entry.get("installed_by", ""),
            data=tuple(entry.get("data", ())),
        )


def _each_study_once(steps: Iterator[Step]) -> list[Step]:
    found: dict[str, Step] = {}
    for step in steps:
        found.setdefault(step.study, step)
    return list(found.values())


def _checkpoint(output: Path, folder: str) -> str:
    path = newest_file(output / folder, "*.ckpt")
    return f"<.ckpt of {folder}>" if path is None else path.relative_to(output).as_posix()
