"""Which classes and functions a configuration may name, where that is restricted.

A class path in a configuration is code: it is imported and called with what stands beside it. Who
runs configurations of others sets an environment variable, which no file can change:
`LIT_INTRIGUING_TRUSTED_CLASSES=1` allows what is listed here;
`LIT_INTRIGUING_TRUSTED_CLASSES=package,other.module` these as well.
"""

import os

from lit_intriguing.errors import UsageError

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
    "lit_intriguing.types",
    "lit_intriguing.units",
    "torch.nn",
    "torch.optim",
    "torchmetrics",
    "torchvision.models",
    "torchvision.transforms",
)
"""No part of them loads other code, reads pickles or starts programs, as parts of torch do."""


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
    if allowed is not None and not any(f"{path}.".startswith(f"{one}.") for one in allowed):
        raise UsageError(
            f"'{path}' is not trusted: {VARIABLE} allows no more than classes of this package, "
            f"torch, lightning and torchvision. Add its package there to allow it: "
            f"{VARIABLE}={path.partition('.')[0]}"
        )
