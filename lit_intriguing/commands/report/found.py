"""All results in a folder."""

import csv
import datetime
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from lit_intriguing.commands.report.readers import (
    ablation,
    attacked,
    bounds,
    probing,
    robustness,
    training,
    transfer,
    unit_table,
)
from lit_intriguing.commands.report.result import Result

READERS: Mapping[str, Any] = {
    one.FILE: one
    for one in (ablation, attacked, bounds, probing, robustness, training, transfer, unit_table)
}
"""By the file that tells that a folder holds such a result."""

_NOT_READ = (OSError, KeyError, ValueError, TypeError, csv.Error, yaml.YAMLError)
"""What a file that is cut short or of something else leads to."""


def find_results(root: Path) -> list[Result]:
    """Read all results in a folder and those within, in the order of their paths.

    Results that a command has kept aside (`earlier-*`) and hidden folders are left out. One that
    cannot be read is there with its `problem`.

    Args:
        root: The folder.
    """
    files = [
        path
        for path in sorted(root.rglob("*.csv"))
        if path.name in READERS and not _aside(path.relative_to(root))
    ]
    return [_read(path, root) for path in files]


def _aside(path: Path) -> bool:
    return any(part.startswith((".", "earlier-")) for part in path.parts)


def _read(path: Path, root: Path) -> Result:
    reader = READERS[path.name]
    head = {
        "kind": reader.KIND,
        "folder": path.parent.relative_to(root).as_posix(),
        "date": datetime.date.fromtimestamp(path.stat().st_mtime).isoformat(),
    }
    try:
        return Result(**{"settings": _manifest(path.parent), **head, **reader.read(path.parent)})
    except _NOT_READ as error:
        what = f"no {error}" if isinstance(error, KeyError) else str(error)
        return Result(**head, problem=f"{path.name} cannot be read: {what}")


def _manifest(folder: Path) -> str:
    """Return the settings that a command has written down; empty where it has not."""
    path = folder / "manifest.json"
    if not path.is_file():
        return ""
    settings = json.loads(path.read_text(encoding="utf-8")).get("settings", {})
    return str(yaml.safe_dump(settings, sort_keys=False, allow_unicode=True))
