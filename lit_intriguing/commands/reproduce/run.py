"""How it runs: the steps in order, what is done already, and how long the rest takes."""

import contextlib
import datetime
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from lit_intriguing.commands.reproduce.lacking import lacking
from lit_intriguing.commands.reproduce.runners import OwnProcess, asked_to_end, end_all
from lit_intriguing.data_folder import DATA_VARIABLE, data_folder
from lit_intriguing.errors import InterruptedRunError
from lit_intriguing.paper.plan import Plan, Step
from lit_intriguing.paper.records import Record, Records, versions
from lit_intriguing.splits import locks
from lit_intriguing.training_runs.progress import duration
from lit_intriguing.training_runs.provenance import this_program

Job = int | OwnProcess
"""An exit status, or a process that has still to end."""
Runner = Callable[[list[str], Path, Path], Job]
"""Words behind `lightning`, the folder to run in, the file of what is printed: to a job."""
Failed = tuple[Step, str, str]
"""A step, its command and why it failed."""
MISSING = 2
"""Status of a step that could not begin."""
_LONGEST = 300
"""Characters of a reason."""
_LOOK = 0.1
"""Seconds to wait for a process before the others are looked at."""
_STOPPED = "interrupted. The same command goes on from here."


@dataclass(frozen=True)
class ReproductionRun:
    """Carries a plan out.

    Attributes:
        plan: The steps.
        output: The folder, absolute.
        runner: What runs a step.
        workers: Steps that run at a time, where the runner gives each a process.
    """

    plan: Plan
    output: Path
    runner: Runner
    workers: int = 1

    def all_steps(self) -> list[Failed]:
        """Run what is not done yet.

        Returns:
            What failed.

        Raises:
            UserError: Another process works in the folder.
            InterruptedRunError: The user stopped it.
        """
        records = Records(self.output)
        records.begin(self.plan.name)
        place = records.log(self.plan.steps[0]).parent
        locks.hold(place)
        try:
            with _absolute_data_folder(), asked_to_end():
                return self._all(records)
        finally:
            locks.release(place)

    def _all(self, records: Records) -> list[Failed]:
        done = {step.name: records.done(step) for step in self.plan.steps}
        self._tell_what_is_done([record for record in done.values() if record is not None])
        waiting = [step for step in self.plan.steps if done[step.name] is None]
        for line in lacking(waiting):
            _say(f"note: steps will fail without this: {line}")
        running: dict[Step, _Begun] = {}
        failed: dict[Step, Failed] = {}
        try:
            while waiting or running:
                unfinished = [step for step in self.plan.steps if step in {*waiting, *running}]
                while len(running) < self.workers and (step := first_ready(waiting, unfinished)):
                    waiting.remove(step)
                    self._tell_of(step, unfinished, done)
                    running[step] = self._begin(step, records, failed)
                for step in [one for one, begun in running.items() if begun.has_ended()]:
                    record = running[step].record()
                    if record.status == InterruptedRunError.status:
                        continue  # the others' records come first
                    del running[step]
                    records.save(step, record)
                    done[step.name] = None if record.status else record
                    if record.status:
                        failed[step] = (step, step.line(self.output), record.reason)
                        _say(f"  failed: {step.name}: {record.reason}")
                if any(one.status == InterruptedRunError.status for one in running.values()):
                    raise KeyboardInterrupt
        except KeyboardInterrupt:
            raise InterruptedRunError(_STOPPED) from None
        finally:
            jobs = [begun.job for begun in running.values()]
            end_all(job for job in jobs if isinstance(job, OwnProcess))
        return [failed[step] for step in self.plan.steps if step in failed]

    def _tell_of(self, step: Step, rest: list[Step], done: dict[str, Record | None]) -> None:
        known = [(one, record) for one in self.plan.steps if (record := done[one.name])]
        left = duration(time_left(rest, known) / self.workers)
        number = self.plan.steps.index(step) + 1
        _say(f"step {number} of {len(self.plan.steps)}, {step.title}; time left: {left}")

    def _begin(self, step: Step, records: Records, failed: Iterable[Step]) -> "_Begun":
        words, log = step.words(self.output), records.log(step)
        begun = _Begun(words, log, why_not(step, words, failed))
        if begun.reason:
            begun.job = MISSING
        else:
            log.unlink(missing_ok=True)
            begun.job = self.runner(words, self.output, log)
        return begun

    def _tell_what_is_done(self, done: list[Record]) -> None:
        if not done:
            return
        _say(f"{len(done)} of {len(self.plan.steps)} steps are done from before")
        if any(record.program.get("sources") != this_program()["sources"] for record in done):
            _say(
                "note: some were made by other sources of lit-intriguing, and are used as they "
                "are; another --output runs all."
            )


@dataclass
class _Begun:
    """A step on its way."""

    words: list[str]
    log: Path
    reason: str
    job: Job = 0
    start: float = field(default_factory=time.perf_counter)
    status: int | None = None

    def has_ended(self) -> bool:
        """Return whether the step has ended; where it has not, wait a moment."""
        self.status = self.job if isinstance(self.job, int) else self.job.status(_LOOK)
        return self.status is not None

    def record(self) -> Record:
        """Return how the step ended."""
        assert self.status is not None
        return Record(
            command=self.words,
            status=self.status,
            seconds=round(time.perf_counter() - self.start, 2),
            date=datetime.datetime.now().isoformat(" ", "minutes"),
            program=this_program(),
            versions=versions(),
            reason=self.reason or (last_line(self.log) if self.status else ""),
        )


def first_ready(waiting: Sequence[Step], unfinished: Sequence[Step]) -> Step | None:
    """Return the first step that uses nothing which an earlier one has still to make.

    Args:
        waiting: Steps that have not begun, in order.
        unfinished: These and the ones that run, in order.
    """
    for step in waiting:
        earlier = unfinished[: unfinished.index(step)]
        if not any(step.uses(one.folder) for one in earlier):
            return step
    return None


def why_not(step: Step, words: Sequence[str], failed: Iterable[Step]) -> str:
    """Return why a step cannot begin; empty where it can.

    The checkpoint of a training that failed does not count: it is of an epoch on the way. The
    models of a study that failed do, since a study keeps none but whole ones.

    Args:
        step: The step.
        words: Its command, with the checkpoints that there are.
        failed: Steps that failed.
    """
    needed = [PurePosixPath(name) for name in step.needs()]
    for one in failed:
        if any(name.is_relative_to(one.folder) for name in needed):
            return f"the step {one.name}, whose checkpoint it takes, failed"
    lacking = [name for name in step.needs() if f"<.ckpt of {name}>" in words]
    return f"there is no checkpoint in {', '.join(lacking)}" if lacking else ""


def time_left(rest: list[Step], done: list[tuple[Step, Record]]) -> float:
    """Return the seconds that steps will take, by those that are done on this machine.

    Args:
        rest: The steps.
        done: Others with their records; where there are none, the pages' minutes count.
    """
    expected = 60 * sum(step.minutes for step, _ in done)
    measured = sum(record.seconds for _, record in done)
    slower = measured / expected if expected else 1.0
    return 60 * sum(step.minutes for step in rest) * slower


def last_line(log: Path) -> str:
    """Return the last line that a step printed, without the program's name."""
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "it printed nothing")
    text = last.removeprefix("lightning: ")
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..."


@contextlib.contextmanager
def _absolute_data_folder() -> Iterator[None]:
    """Name the data's folder from the root, since steps run in another working directory."""
    folder = data_folder()
    if folder is None:
        yield
        return
    before = os.environ[DATA_VARIABLE]
    os.environ[DATA_VARIABLE] = str(folder.resolve())
    try:
        yield
    finally:
        os.environ[DATA_VARIABLE] = before


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
