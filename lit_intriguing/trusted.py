"""Which classes and functions a configuration may name, where that is restricted.

A class path in a configuration is code: it is imported and called with what stands beside it. Who
runs configurations of others sets an environment variable, which no file can change:
`LIT_INTRIGUING_TRUSTED_CLASSES=1` allows what is listed here;
`LIT_INTRIGUING_TRUSTED_CLASSES=package,other.module` these as well.
"""

import os
from collections.abc import Iterable

from lit_intriguing.errors import UsageError
from lit_intriguing.private.of_jsonargparse import defining_paths, is_denied

VARIABLE = "LIT_INTRIGUING_TRUSTED_CLASSES"
TRUSTED = (
    "lightning.pytorch.callbacks",
    "lightning.pytorch.core",
    "lightning.pytorch.loggers",
    "lightning.pytorch.plugins",
    "lightning.pytorch.profilers",
    "lightning.pytorch.strategies",
    "lit_intriguing.attacks",
    "lit_intriguing.callbacks",
    "lit_intriguing.data",
    "lit_intriguing.metrics",
    "lit_intriguing.models",
    "lit_intriguing.pools",
    "lit_intriguing.schemes",
    "lit_intriguing.solvers",
    "lit_intriguing.types",
    "lit_intriguing.units",
    "torch.nn",
    "torch.optim",
    "torchmetrics",
    "torchvision.models",
    "torchvision.transforms",
)
"""What is defined in them loads no other code, reads no pickles and starts no programs.

Some import modules that do: what is found there counts by where it is defined (`check_found`).
"""


def trusted() -> tuple[str, ...] | None:
    """Return the modules whose contents may be named; None where anything may.

    >>> trusted() is None or "torch.nn" in trusted()
    True
    """
    given = os.environ.get(VARIABLE, "").strip()
    if given in ("", "0"):
        return None
    further = [name.strip() for name in given.split(",") if name.strip() not in ("", "1")]
    wrong = [name for name in further if not all(p.isidentifier() for p in name.split("."))]
    if wrong:
        raise UsageError(f"{VARIABLE}: {wrong[0]!r} is no package or module.")
    return (*TRUSTED, *further)


def check_trusted(path: str) -> None:
    """Refuse a class or function of an untrusted module, before that is imported.

    Args:
        path: Dotted.

    Raises:
        UsageError: It may not be named.
    """
    allowed = trusted()
    if allowed is not None and not _is_in(path, allowed):
        raise UsageError(
            f"'{path}' is not trusted: {VARIABLE} allows no more than classes of this package, "
            f"torch, lightning and torchvision. Add its package there to allow it: "
            f"{VARIABLE}={path.partition('.')[0]}"
        )


def check_found(path: str, thing: object) -> None:
    """Refuse what a path led to by where it is defined: modules hold more than their own.

    Args:
        path: Dotted, as given.
        thing: What it names.

    Raises:
        UsageError: It runs programs or other code (jsonargparse's list), or where names are
            restricted, it is defined in a module that is not trusted.
    """
    allowed, defined = trusted(), defining_paths(thing)
    denied = [one for one in sorted(defined) if is_denied(one)]
    if allowed is None and denied:
        raise UsageError(
            f"'{path}' is {denied[0]}, which runs programs or other code: no configuration and no "
            "option may name it. Name a class or function of your own that does what you want."
        )
    if allowed is not None and not (defined and all(_is_in(one, allowed) for one in defined)):
        where = f", which is {min(defined)}," if defined else ""
        raise UsageError(
            f"'{path}'{where} is not trusted: it is not defined in a module that {VARIABLE} allows."
        )


def _is_in(path: str, modules: Iterable[str]) -> bool:
    return any(f"{path}.".startswith(f"{one}.") for one in modules)
