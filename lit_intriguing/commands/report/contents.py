"""What the page says: claims, places of the paper and further results, out of what was found."""

import datetime
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from lit_intriguing.commands.report.result import Result
from lit_intriguing.intervals import interval_of_mean
from lit_intriguing.paper.claims import VERDICTS, Claim
from lit_intriguing.paper.plan import Place, Plan, Step, newest_file
from lit_intriguing.paper.records import Record, Records


@dataclass(frozen=True)
class Command:
    """A command, and why it is named.

    Attributes:
        line: As it is typed in the folder.
        title: What it does.
        reason: Why it has to be run; empty where it was.
    """

    line: str
    title: str
    reason: str = ""


@dataclass(frozen=True)
class Judged:
    """A claim beside what this folder has of it.

    Attributes:
        claim: With the paper's numbers, ours and the verdict.
        here: What was measured here, a line each; empty where nothing was.
        missing: The commands that measure it.
    """

    claim: Claim
    here: Sequence[str]
    missing: Sequence[Command]


@dataclass(frozen=True)
class Shown:
    """Results under one heading.

    Attributes:
        place: The heading.
        results: Of the commands below.
        elsewhere: Headings under which further results of these commands stand.
        commands: That made them.
        missing: That would make what is missing.
        further: Likewise, of studies that go beyond the paper.
        left_out: Why this plan does not make it; empty where it does.
    """

    place: Place
    results: Sequence[Result]
    elsewhere: Sequence[str]
    commands: Sequence[Command]
    missing: Sequence[Command]
    further: Sequence[Command] = ()
    left_out: str = ""


@dataclass(frozen=True)
class Contents:
    """All that the page says.

    Attributes:
        title: Of the page.
        plan: `full` or `quick`.
        date: Of the page.
        counts: Verdict to the number of claims.
        claims: In the paper's order.
        places: In the paper's order.
        others: Results that belong to no place.
        steps: Of the plan, each with its record, None where it has not ended here.
        versions: What made the page.
    """

    title: str
    plan: str
    date: str
    counts: Mapping[str, int]
    claims: Sequence[Judged]
    places: Sequence[Shown]
    others: Sequence[Result]
    steps: Sequence[tuple[Step, str, Record | None]]
    versions: Mapping[str, str]

    @property
    def measured(self) -> int:
        """How many claims this folder has something of."""
        return sum(bool(one.here) for one in self.claims)

    @property
    def problems(self) -> list[Result]:
        """Results that could not be read."""
        every = [*self.others, *(result for one in self.places for result in one.results)]
        return [result for result in every if result.problem]

    @property
    def failed(self) -> list[tuple[Step, str, Record]]:
        """Steps that ended with an error, with their commands."""
        return [
            (step, line, record) for step, line, record in self.steps if record and record.status
        ]


@dataclass(frozen=True)
class Gathering:
    """Brings results, plan and records of a folder together.

    Attributes:
        root: The folder.
        results: All that was found in it.
        plan: Whose steps are looked for.
        full: The full plan, for what `plan` leaves out.
    """

    root: Path
    results: Sequence[Result]
    plan: Plan
    full: Plan

    def contents(
        self, title: str, claims: Iterable[Claim], versions: Mapping[str, str]
    ) -> Contents:
        """Return what the page says."""
        records = Records(self.root)
        judged = [self._judged(one) for one in claims]
        given = [one.claim.verdict for one in judged]
        return Contents(
            title=title,
            plan=self.plan.name,
            date=datetime.date.today().isoformat(),
            counts={one: given.count(one) for one in VERDICTS},
            claims=judged,
            places=self._places(),
            others=[r for r in self.results if not self._has_place(r)],
            steps=[(s, s.line(self.root), records.load(s)) for s in self.plan.steps],
            versions=versions,
        )

    def _study(self, result: Result) -> str:
        step = self.plan.of_folder(result.folder)
        return "" if step is None or not (step.shows or step.pages) else step.study

    def _has_place(self, result: Result) -> bool:
        step = self.plan.of_folder(result.folder)
        return step is not None and bool(step.shows)

    def _of(self, steps: Iterable[Step]) -> list[Result]:
        studies = [step.study for step in steps]
        return [result for result in self.results if self._study(result) in studies]

    def _judged(self, claim: Claim) -> Judged:
        steps = self.plan.of_page(claim.page)
        here = [
            line
            for step in steps
            for line in in_short([r for r in self._of([step]) if not r.problem], claim.part)
        ]
        making = [step for step in steps or self.full.of_page(claim.page) if not step.further]
        missing = [] if here else self._missing(making)
        return Judged(claim, here, missing)

    def _places(self) -> list[Shown]:
        """Lay results out, each in full under one heading alone."""
        first: dict[str, str] = {}
        found = []
        for place in self.plan.places:
            steps = self.plan.of_place(place.name)
            results = self._of(steps)
            fresh = [r for r in results if place.view or r.folder not in first]
            elsewhere = sorted({first[r.folder] for r in results if r not in fresh})
            if not place.view:
                first.update({r.folder: place.name for r in fresh})
            found.append(self._shown(place, steps, fresh, elsewhere))
        return found

    def _shown(
        self, place: Place, steps: Sequence[Step], results: list[Result], elsewhere: list[str]
    ) -> Shown:
        there = {self._study(result) for result in self._of(steps)}
        lacking = [step for step in steps if step.study not in there]
        candidates = lacking or ([] if steps else self.full.of_place(place.name))
        left_out = self.plan.left_out.get(place.name, "")
        return Shown(
            place=place,
            results=results,
            elsewhere=elsewhere,
            commands=[Command(s.line(self.root), s.title) for s in steps if s not in lacking],
            missing=self._missing(step for step in candidates if not step.further),
            further=self._missing(step for step in candidates if step.further),
            left_out=left_out,
        )

    def _missing(self, steps: Iterable[Step]) -> list[Command]:
        """Return the commands of steps that have left nothing, and before them what they need."""
        records = Records(self.root)
        found: dict[str, Command] = {}
        for step in steps:
            plan = self.plan if step in self.plan.steps else self.full
            for one in [*_before(step, plan, self.root), step]:
                record = records.load(one)
                reason = record.reason if record is not None and record.status else "not run here"
                found[one.name] = Command(one.line(self.root), one.title, reason)
        return list(found.values())


def in_short(results: Sequence[Result], part: str = "") -> list[str]:
    """Return a study's results in lines: trainings that differ in their seed in one.

    Args:
        results: Of one step and its seeds.
        part: Which of a result's numbers; one that has no such part is left out. Empty for the main
            ones.
    """
    trained = {r.seed: r for r in results if r.error is not None}  # the newest run of a seed
    errors = [one.error for one in trained.values() if one.error is not None]
    others = [
        one
        for one in results
        if one.error is None and one.kind != "training" and (part in one.parts or not part)
    ]
    lines = [one.parts.get(part, one.headline) for one in others]
    if not errors:
        return lines
    low, high = interval_of_mean(errors)
    bracket = "" if len(errors) < 2 else f" [{low:.2f}, {high:.2f}]"
    seeds = f"{'seed' if len(errors) == 1 else 'seeds'} {', '.join(sorted(trained))}"
    return [f"test error {mean(errors):.2f}%{bracket}, {seeds}", *lines]


def _before(step: Step, plan: Plan, root: Path) -> list[Step]:
    """Return the steps whose networks a step takes and that have left none, in their order."""
    found: dict[str, Step] = {}
    for one in plan.steps:
        if one.name == step.name:
            break
        if step.uses(one.folder) and newest_file(root / one.folder, "*.ckpt") is None:
            found |= {other.name: other for other in [*_before(one, plan, root), one]}
    return list(found.values())
