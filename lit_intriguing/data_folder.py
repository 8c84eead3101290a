"""The folder in which the user keeps data, and the one for what is made of them."""

import os
from pathlib import Path

DATA_VARIABLE = "LIT_INTRIGUING_DATA"


def data_folder() -> Path | None:
    """Return `$LIT_INTRIGUING_DATA`, or None where it is not set."""
    folder = os.environ.get(DATA_VARIABLE)
    return Path(folder).expanduser() if folder else None


def found_file(name: str) -> Path:
    """Return a file by its path, else by its path within `$LIT_INTRIGUING_DATA`."""
    path, folder = Path(name).expanduser(), data_folder()
    if folder is not None and not path.exists() and (folder / name).exists():
        return folder / name
    return path


def cache_folder() -> Path:
    """Return the user's cache of this package: `$XDG_CACHE_HOME/lit-intriguing`."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "lit-intriguing"
