"""Loggers that fail: it is said once, and training goes on."""

from collections.abc import Callable
from typing import Any

from lightning.pytorch.utilities import rank_zero_warn

PATIENCE = 10
"""Failures one after the other, after which a logger gets nothing more in a run."""

_COUNT, _SAID = "_lit_intriguing_failures", "_lit_intriguing_said"


def attempt(logger: Any, action: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Have a logger do something; a failure gives one warning for each logger.

    A logger that has failed `PATIENCE` times in a row is left alone: each try may wait for a
    network.

    Args:
        logger: Any object with attributes; how often it failed is noted in it.
        action: What it is to do.
        args: For `action`.
        kwargs: For `action`.

    Returns:
        What `action` returns; None where it failed or was not tried.
    """
    known = vars(logger)
    if known.get(_COUNT, 0) >= PATIENCE:
        return None
    try:
        result = action(*args, **kwargs)
    except Exception as error:
        known[_COUNT] = known.get(_COUNT, 0) + 1
        if _SAID not in known:
            known[_SAID] = True
            rank_zero_warn(_words(logger, error))
        return None
    known[_COUNT] = 0
    return result


def forget_failures(logger: Any) -> None:
    """Begin anew, as in another run."""
    for name in (_COUNT, _SAID):
        vars(logger).pop(name, None)


def _words(logger: Any, error: Exception) -> str:
    reason = " ".join(str(error).split()) or "no reason given"
    return (
        f"{type(logger).__name__} failed: {type(error).__name__}: {reason}. Training continues; "
        f"what it was to log is lost, and after {PATIENCE} failures in a row it is not asked again."
    )
