"""Stands between Lightning and its loggers."""

import functools
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from lit_intriguing.loggers.failures import attempt, forget_failures
from lit_intriguing.loggers.rows import Rows
from lit_intriguing.loggers.summaries import define_summaries

_FORGIVEN = ("log_metrics", "log_hyperparams", "log_graph", "save", "after_save_checkpoint")


def guard(logger: Any) -> None:
    """Have a logger's failures said once, until it is finalised; see `LoggerGuard`.

    Args:
        logger: Of a Trainer. Its methods are wrapped in the object, in the process that trains.
    """
    if "finalize" in vars(logger):
        return  # still guarded
    forget_failures(logger)
    inner = {name: getattr(logger, name) for name in (*_FORGIVEN, "finalize")}
    names = {kind.__name__ for kind in type(logger).__mro__}
    flush = None
    if "CSVLogger" in names:
        rows = Rows(inner["log_metrics"], inner["save"])
        inner |= {"log_metrics": rows.log_metrics, "save": rows.save}
        flush = rows.flush
    elif "WandbLogger" in names:
        inner["log_metrics"] = functools.partial(_defining, logger, inner["log_metrics"], set())

    def finalize(status: str) -> None:
        release(logger)
        if flush is not None:
            attempt(logger, flush)
        attempt(logger, inner["finalize"], status)

    for name in _FORGIVEN:
        setattr(logger, name, functools.partial(attempt, logger, inner[name]))
    logger.finalize = finalize


def release(logger: Any) -> None:
    """Undo `guard`, however often this is called."""
    for name in (*_FORGIVEN, "finalize"):
        vars(logger).pop(name, None)


def _defining(
    logger: Any,
    log_metrics: Any,
    defined: set[str],
    metrics: Mapping[str, Any],
    step: int | None = None,
) -> None:
    """Log to W&B, after it was told of each new number which value is the best."""
    new = {key for key, one in metrics.items() if isinstance(one, int | float | Tensor)} - defined
    if new:
        defined |= new
        define_summaries(logger, new)
    log_metrics(metrics, step=step)
