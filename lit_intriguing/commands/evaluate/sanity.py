"""Whether the results can be trusted: sanity checks on the first images."""

import csv
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor, nn

from lit_intriguing.attacks import GradientAttack, Restarts
from lit_intriguing.commands.evaluate.job import EvaluateJob
from lit_intriguing.robustness.sizes import NORMS
from lit_intriguing.sanity import Finding, sanity_checks
from lit_intriguing.tables import Cell, csv_table
from lit_intriguing.whole_files import write_bytes

FILE = "sanity.csv"
_STEPS, _LEAST = 40, 2


def look(model: nn.Module, images: Tensor, labels: Tensor, job: EvaluateJob) -> list[Finding]:
    """Return what the checks find on the first images, at the largest size.

    The attack is the first of projected gradient descent that was asked for, with two steps or
    more, else one of 40 steps: in other attacks' ways a loss that rises says nothing.

    Args:
        model: From images to logits.
        images: `(N, *S)`.
        labels: `(N,)`.
        job: What was asked for; it says how many images are looked at.
    """
    return sanity_checks(
        model,
        images[: job.sanity],
        labels[: job.sanity],
        _descent(job),
        bounds=job.bounds,
        seed=job.seed,
    )


def _descent(job: EvaluateJob) -> GradientAttack:
    found: dict[str, GradientAttack] = {}
    for run in job.runs():
        attack = run.attack.attack if isinstance(run.attack, Restarts) else run.attack
        if isinstance(attack, GradientAttack) and attack.steps >= _LEAST:
            found[run.name] = attack  # at the largest size in the end
    if found:
        return next(iter(found.values()))
    norm, sizes = next(iter(job.sizes.items()))
    return GradientAttack(sizes[-1], "inf" if norm == "linf" else NORMS[norm], steps=_STEPS)


def save(folder: Path, findings: Sequence[Finding]) -> None:
    """Write the findings as a table."""
    columns = ["check", "value", "limit", "warns", "meaning"]
    rows: list[list[Cell]] = [
        [one.name, one.value, one.limit, str(one.warns), one.words]
        for one in findings
        if one.name != "transfer_beats"  # there is no other model
    ]
    write_bytes(folder / FILE, csv_table(columns, rows).encode())


def load(folder: Path) -> list[Finding]:
    """Return the findings of that table; none where there is none."""
    if not (folder / FILE).is_file():
        return []
    with (folder / FILE).open(newline="") as file:
        return [
            Finding(row["check"], float(row["value"]), float(row["limit"]), row["meaning"])
            for row in csv.DictReader(file)
        ]
