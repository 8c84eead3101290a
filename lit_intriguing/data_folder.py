"""The folder in which the user keeps data."""

import os
from pathlib import Path

DATA_VARIABLE = "LIT_INTRIGUING_DATA"


def data_folder() -> Path | None:
    """`$LIT_INTRIGUING_DATA`; None where it is not set."""
    named = os.environ.get(DATA_VARIABLE)
    return Path(named).expanduser() if named else None


def found_file(name: str) -> Path:
    """A file by its path, or by its path within `$LIT_INTRIGUING_DATA` where there is none."""
    path, folder = Path(name).expanduser(), data_folder()
    if folder is not None and not path.exists() and (folder / name).exists():
        return folder / name
    return path
