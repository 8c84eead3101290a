"""All results in a folder."""

import csv
import datetime
import json
import re
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

_NOT_READ = (
    OSError, AttributeError, KeyError, ValueError, TypeError, csv.Error, yaml.YAMLError,
)  # fmt: skip
"""What a file that is cut short or of something else leads to."""


def find_results(root: Path) -> list[Result]:
    """Read all results in a folder and those within, in the order of their paths.

    Numbers in names count as numbers: `version_10` comes after `version_9`. Results that a command
    has kept aside (`earlier-*`) and hidden folders are left out. One that cannot be read is there
    with its `problem`.

    Args:
        root: The folder.
    """
    files = [
        path
        for path in sorted(root.rglob("*.csv"), key=_in_order)
        if path.name in READERS and not _aside(path.relative_to(root)) and path.is_file()
    ]
    return [_read(path, root) for path in files]


def _in_order(path: Path) -> list[list[str | int]]:
    """Return what sorts paths name by name, and the digits in these as numbers."""
    return [
        [int(part) if at % 2 else part for at, part in enumerate(re.split(r"(\d+)", name))]
        for name in path.parts
    ]


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
        return Result(**head, problem=f"{path.name} cannot be read: {_in_words(error)}")


def _in_words(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"no {error}"
    if isinstance(error, AttributeError):  # a list where a mapping belongs
        return "a file beside it is of another program"
    return str(error)


def _manifest(folder: Path) -> str:
    """Return the settings that a command has written down; empty where it has not."""
    path = folder / "manifest.json"
    if not path.is_file():
        return ""
    settings = json.loads(path.read_text(encoding="utf-8")).get("settings", {})
    return str(yaml.safe_dump(settings, sort_keys=False, allow_unicode=True))
