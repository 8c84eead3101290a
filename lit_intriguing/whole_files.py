"""Files that are written whole or not at all."""

import json
import os
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from lit_intriguing.errors import DamagedFileError, UsageError

_CHECKSUM = "checksum"


@contextmanager
def draft(path: Path) -> Iterator[Path]:
    """Yield a file beside `path`, which becomes `path` at the end, or vanishes after an error.

    Whoever looks, also after a crash, finds the old file or the new one, never a half.

    Args:
        path: The file to be; its folder is made.

    Yields:
        Where to write.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield beside
        _to_disk(beside)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _to_disk(file: Path) -> None:
    """Wait until the content is on the disk: a name alone survives a power cut as an empty file."""
    with file.open("rb+") as opened:
        os.fsync(opened.fileno())


def write_bytes(path: Path, content: bytes) -> None:
    """Write bytes; see `draft`."""
    with draft(path) as file:
        file.write_bytes(content)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write plain values as JSON; see `draft`."""
    with draft(path) as file:
        file.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def write_checked_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write plain values as JSON with a checksum; see `draft` and `read_checked_json`."""
    write_json(path, {**content, _CHECKSUM: _checksum(content)})


def read_checked_json(path: Path, way_out: str) -> dict[str, Any]:
    """Return what `write_checked_json` wrote.

    Args:
        path: The file.
        way_out: What a user can do about a damaged file, the end of the message.

    Returns:
        The content, also of a file without a checksum; empty where there is no file, or it holds
        something else.

    Raises:
        DamagedFileError: A value is not as it was written.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(content, dict):
        return {}
    checksum = content.pop(_CHECKSUM, None)
    if checksum is not None and checksum != _checksum(content):
        raise DamagedFileError(f"{path} is damaged (checksum): {way_out}.")
    return content


def _checksum(content: Mapping[str, Any]) -> int:
    """Return the CRC-32 of values as they come back from a file."""
    return zlib.crc32(json.dumps(json.loads(json.dumps(content))).encode())


def kept_aside(folder: Path, files: Mapping[str, str | bytes]) -> Path | None:
    """Move files that are about to be replaced by others into a folder `earlier-<number>`.

    Args:
        folder: Where they are.
        files: Name to what is to stand there. Tables (`.csv`) say whether it is something else.

    Returns:
        Where they are now; None where the tables are new, or the same as before.
    """
    there = [name for name in files if (folder / name).is_file()]
    texts = {name: one for name, one in files.items() if name.endswith(".csv")}
    changed = any(
        (folder / name).read_bytes() != (one.encode() if isinstance(one, str) else one)
        for name, one in texts.items()
        if name in there
    )
    if not changed:
        return None
    number = next(n for n in count(1) if not (folder / f"earlier-{n}").exists())
    aside = folder / f"earlier-{number}"
    aside.mkdir()
    for name in there:
        (folder / name).rename(aside / name)
    return aside


def check_folder(folder: Path) -> None:
    """Refuse a file where results are to go.

    Args:
        folder: The study's `out_dir`, which need not be there yet.

    Raises:
        UsageError: It, or a folder that it lies in, is a file.
    """
    there = next((one for one in (folder, *folder.parents) if one.exists()), folder)
    if there.exists() and not there.is_dir():
        raise UsageError(f"out_dir {folder}: {there} is a file: name a folder.")
