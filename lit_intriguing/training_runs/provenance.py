"""Which program made a result."""

import functools
import hashlib
from pathlib import Path

import lit_intriguing
from lit_intriguing.configuration.shipped import FOLDERS


@functools.cache
def this_program() -> dict[str, str]:
    """Return the package's version and a hash of its sources, as they were at the first call.

    Returns:
        `version`, and `sources`: of the names and contents of all Python files of the package,
        less the scripts beside the recipes, which only an installed wheel has inside.
    """
    package = Path(lit_intriguing.__file__).parent
    digest = hashlib.sha256()
    for file in sorted(package.rglob("*.py")):
        name = file.relative_to(package)
        if name.parts[0] not in FOLDERS:
            digest.update(name.as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    return {"version": lit_intriguing.__version__, "sources": digest.hexdigest()[:20]}
