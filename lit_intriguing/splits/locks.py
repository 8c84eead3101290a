"""One run at a time in a folder."""

from pathlib import Path

from filelock import FileLock, Timeout

from lit_intriguing.errors import UserError

NAME = ".lock"
"""Of the file in the folder; it is there while a run works."""

_held: dict[Path, FileLock] = {}


def hold(folder: Path) -> None:
    """Take a folder for this process, until `release_all` or its end.

    Args:
        folder: It exists.

    Raises:
        UserError: Another process works there.
    """
    path = folder.resolve() / NAME
    if path in _held:
        return
    lock = FileLock(path, timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise UserError(
            f"another run works in {folder}: wait for its end, or name another output."
        ) from error
    _held[path] = lock


def release(folder: Path) -> None:
    """Leave a folder, if this process holds it."""
    path = folder.resolve() / NAME
    if path in _held:
        path.unlink(missing_ok=True)  # while nobody else can hold it
        _held.pop(path).release()


def release_all() -> None:
    """Leave all folders of this process."""
    for path in list(_held):
        release(path.parent)
