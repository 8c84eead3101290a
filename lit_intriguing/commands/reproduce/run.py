"""How it runs: the steps in order, what is done already, and how long the rest takes."""

import contextlib
import datetime
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from lit_intriguing.data_folder import DATA_VARIABLE, data_folder
from lit_intriguing.errors import InterruptedRunError
from lit_intriguing.paper.plan import Plan, Step
from lit_intriguing.paper.records import Record, Records, versions
from lit_intriguing.splits import locks
from lit_intriguing.training_runs.progress import duration
from lit_intriguing.training_runs.provenance import this_program

Runner = Callable[[list[str], Path, Path], int]
"""Words behind `lightning`, the folder to run in, the file of what is printed: to exit status."""
Failed = tuple[Step, str, str]
"""A step, its command and why it failed."""
MISSING = 2
"""Status of a step that could not begin."""
_LONGEST = 300
"""Characters of a reason."""


@dataclass(frozen=True)
class ReproductionRun:
    """Carries a plan out.

    Attributes:
        plan: The steps.
        output: The folder, absolute.
        runner: What runs a step.
    """

    plan: Plan
    output: Path
    runner: Runner

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
            with _absolute_data_folder():
                return self._all(records)
        finally:
            locks.release(place)

    def _all(self, records: Records) -> list[Failed]:
        failed: list[Failed] = []
        done = {step.name: records.done(step) for step in self.plan.steps}
        self._tell_what_is_done([record for record in done.values() if record is not None])
        for number, step in enumerate(self.plan.steps, 1):
            if done[step.name] is not None:
                continue
            rest = [one for one in self.plan.steps[number - 1 :] if done[one.name] is None]
            left = duration(
                time_left(rest, [(s, r) for s in self.plan.steps if (r := done[s.name])])
            )
            _say(f"step {number} of {len(self.plan.steps)}, {step.title}; time left: {left}")
            record = self._one(step, records)
            records.save(step, record)
            if record.status:
                failed.append((step, step.line(self.output), record.reason))
                _say(f"  failed: {record.reason}")
            else:
                done[step.name] = record
        return failed

    def _one(self, step: Step, records: Records) -> Record:
        words = step.words(self.output)
        lacking = [name for name in step.needs() if f"<.ckpt of {name}>" in words]
        log = records.log(step)
        start = time.perf_counter()
        if lacking:
            status, reason = MISSING, f"there is no checkpoint in {', '.join(lacking)}"
        else:
            log.unlink(missing_ok=True)
            status = self._run(words, log)
            reason = last_line(log) if status else ""
        return Record(
            command=words,
            status=status,
            seconds=round(time.perf_counter() - start, 2),
            date=datetime.datetime.now().isoformat(" ", "minutes"),
            program=this_program(),
            versions=versions(),
            reason=reason,
        )

    def _run(self, words: list[str], log: Path) -> int:
        try:
            status = self.runner(words, self.output, log)
        except KeyboardInterrupt:
            status = InterruptedRunError.status
        if status == InterruptedRunError.status:
            raise InterruptedRunError("interrupted. The same command goes on from here.")
        return status

    def _tell_what_is_done(self, done: list[Record]) -> None:
        if not done:
            return
        _say(f"{len(done)} of {len(self.plan.steps)} steps are done from before")
        if any(record.program.get("sources") != this_program()["sources"] for record in done):
            _say(
                "note: some were made by other sources of lit-intriguing, and are used as they "
                "are; another --output runs all."
            )


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
