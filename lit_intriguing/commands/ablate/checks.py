"""What is checked before a study trains anything."""

import hashlib
import io
import json
import sys
from pathlib import Path

from lightning.pytorch import LightningDataModule
from lightning.pytorch.utilities.seed import isolate_rng

from lit_intriguing.commands.ablate.plan import Plan
from lit_intriguing.configuration import parse_errors
from lit_intriguing.errors import DamagedFileError, UsageError, UserError
from lit_intriguing.training_runs.measure import build, silence
from lit_intriguing.training_runs.store import Run, RunStore
from lit_intriguing.whole_files import read_checked_json, write_checked_json


def check(plan: Plan, store: RunStore) -> list[LightningDataModule]:
    """Build what is not done yet, each candidate once, without reading data.

    Args:
        plan: The study.
        store: What is done.

    Returns:
        The data of those runs, each kind once, to be prepared.

    Raises:
        UsageError: A configuration has a key, class or value that cannot be.
        UserError: A class refuses what it is given. Both say in which candidate.
    """
    data: dict[str, LightningDataModule] = {}
    for name, number in plan.candidates():
        # Neither the seed nor, after a row's first candidate, the validation split makes a
        # difference to whether it can be built.
        tune = plan.tune_runs(name, number) if number == 0 else []
        for runs in (tune, plan.final_runs(name, number)):
            if not all(store.done(run) for run in runs):
                module = _built(runs[0], f"row {name!r}, candidate {number + 1}")
                if module is not None:
                    kind = json.dumps(runs[0].config.get("data"), sort_keys=True)
                    data.setdefault(kind, module)
    return list(data.values())


def _built(run: Run, place: str) -> LightningDataModule | None:
    try:
        with silence(io.StringIO()), isolate_rng():
            module: LightningDataModule | None = build(run.config).datamodule
    except UsageError as error:
        raise UsageError(f"{place}: {error}") from error
    except (Exception, SystemExit) as error:
        raise UserError(f"{place}: {parse_errors.one_line(str(error))}") from error
    return module


def note_other_study(folder: Path, plan: Plan) -> None:
    """Note on standard error that a folder holds another study's runs, and save whose it is now.

    Args:
        folder: The study's `out_dir`.
        plan: The study that is to go there.
    """
    rows = {
        name: {"candidates": row.candidates, "overrides": row.overrides}
        for name, row in plan.rows.items()
    }
    text = json.dumps([plan.base, rows])
    mine = hashlib.sha256(text.encode()).hexdigest()
    file = folder / "study.json"
    if file.is_file() and _study_in(file) != mine:
        print(
            f"note: {folder} holds runs of another study, or of other rows; what this one shares"
            " with it is used, the rest stays, and ablation.* is written anew.",
            file=sys.stderr,
        )
    folder.mkdir(parents=True, exist_ok=True)
    write_checked_json(file, {"study": mine})


def _study_in(file: Path) -> str | None:
    """Return which study a folder is noted to belong to; None where the note is damaged."""
    try:
        return read_checked_json(file, "it is made again").get("study")
    except DamagedFileError:
        return None


def note_other_program(plan: Plan, store: RunStore) -> None:
    """Note on standard error that stored results were made by other sources of this package.

    Args:
        plan: The study.
        store: What is done.
    """
    found: dict[str, set[str]] = {}
    for name, number in plan.candidates():
        for run in (*plan.tune_runs(name, number), *plan.final_runs(name, number)):
            if store.done(run) is not None and store.foreign(run):
                found.setdefault(name, set()).add(run.key)
    if found:
        print(
            f"note: {len(set().union(*found.values()))} results in {store.folder}"
            f" (rows {', '.join(map(repr, found))}) were made by other sources of lit-intriguing"
            " than the rest will be, and are used as they are; --redo=true trains them again,"
            " another --out_dir trains all.",
            file=sys.stderr,
        )
