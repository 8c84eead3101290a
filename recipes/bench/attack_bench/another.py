"""The attack of another checkout of this package, beside that of this one in one process."""

import importlib
import re
import sys
import tempfile
from pathlib import Path

from lit_intriguing.errors import UsageError

PACKAGE, RENAMED = "lit_intriguing", "another_lit_intriguing"


def attacks_of(checkout: Path) -> str:
    """Import the package of another checkout under another name.

    Args:
        checkout: The folder that holds `lit_intriguing/`, as `git worktree add` or
            `git archive` makes it.

    Returns:
        The name of its module of attacks.

    Raises:
        UsageError: There is no such package.
    """
    source = checkout / PACKAGE
    if not (source / "attacks").is_dir():
        raise UsageError(f"--another {checkout}: there is no {PACKAGE}/ with attacks in it.")
    if RENAMED not in sys.modules:
        place = Path(tempfile.mkdtemp())
        for path in source.rglob("*.py"):
            copy = place / RENAMED / path.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(re.sub(rf"\b{PACKAGE}\b", RENAMED, path.read_text("utf-8")), "utf-8")
        sys.path.insert(0, str(place))
    return importlib.import_module(f"{RENAMED}.attacks").__name__
