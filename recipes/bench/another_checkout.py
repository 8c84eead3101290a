"""Parts of another checkout of this package, beside those of this one in one process."""

import atexit
import functools
import importlib
import re
import sys
import tempfile
from pathlib import Path
from types import ModuleType

from lit_intriguing.errors import UsageError

PACKAGE, RENAMED = "lit_intriguing", "another_lit_intriguing"


def module_of(checkout: Path, part: str) -> ModuleType:
    """Import a module of another checkout under another name; of one checkout in a process.

    Args:
        checkout: The folder that holds `lit_intriguing/`, as `git worktree add` or
            `git archive` makes it.
        part: Name of the module in the package.

    Returns:
        The module.

    Raises:
        UsageError: There is no such package, or it cannot be imported.
    """
    _copied(checkout.resolve())
    try:
        return importlib.import_module(f"{RENAMED}.{part}")
    except ImportError as error:
        raise UsageError(f"--another {checkout}: {error}") from error


@functools.cache
def _copied(checkout: Path) -> None:
    """Copy the package under its other name to where it can be imported."""
    source = checkout / PACKAGE
    if not (source / "__init__.py").is_file():
        raise UsageError(f"--another {checkout}: there is no {PACKAGE}/ in it.")
    if RENAMED in sys.modules:
        raise UsageError(f"--another {checkout}: a process can import one other checkout alone.")
    place = tempfile.TemporaryDirectory()
    atexit.register(place.cleanup)
    for path in source.rglob("*.py"):
        copy = Path(place.name) / RENAMED / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(re.sub(rf"\b{PACKAGE}\b", RENAMED, path.read_text("utf-8")), "utf-8")
    sys.path.insert(0, place.name)
