"""One run in this process: build what a configuration says, train, measure."""

import contextlib
import gc
import io
import logging
import math
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from typing import Any, TextIO

from jsonargparse import ArgumentError
from lightning.pytorch import Trainer
from lightning.pytorch.cli import ArgsType, LightningArgumentParser, LightningCLI
from lightning.pytorch.utilities.seed import isolate_rng

from lit_intriguing.configuration import class_paths, misspelt, parse_errors
from lit_intriguing.configuration.options import OF_THE_COMMAND
from lit_intriguing.configuration.patches import Config, class_name, merged
from lit_intriguing.errors import UsageError
from lit_intriguing.training_runs.store import Result, Run, Stage

QUIET = {
    "enable_checkpointing": False,
    "enable_model_summary": False,
    "enable_progress_bar": False,
    "logger": False,
}
"""A study saves one number of a run: nothing else is written."""

NEEDS_OUTPUT = {
    "DeviceStatsMonitor",
    "LearningRateMonitor",
    "ModelCheckpoint",
    "ModelSummary",
    "OnExceptionCheckpoint",
    "RichModelSummary",
    "RichProgressBar",
    "RunProgress",
    "TQDMProgressBar",
}
"""Callbacks that refuse to work without what `QUIET` switches off, or write in any case."""

METRICS = {Stage.TUNE: "val/error", Stage.FINAL: "test/error"}

Measure = Callable[[Run], float]


def train_and_measure(run: Run) -> float:
    """Train, and measure the last epoch's weights.

    Args:
        run: The training; `Stage.TUNE` is measured on the validation split, never on the test
            set, `Stage.FINAL` once on the test set.

    Returns:
        The share of wrong predictions.

    Raises:
        ValueError: The module logs no such metric, or it is not finite.
        KeyboardInterrupt: The user stopped it.
    """
    gc.collect()  # the run before: model, Trainer and loops refer to each other in circles
    cli = build(run.config)
    with stopped_by_user(cli.trainer):
        cli.trainer.fit(cli.model, datamodule=cli.datamodule)
        evaluate = cli.trainer.validate if run.stage is Stage.TUNE else cli.trainer.test
        evaluate(cli.model, datamodule=cli.datamodule, verbose=False)
    name = METRICS[run.stage]
    if name not in cli.trainer.callback_metrics:
        logged = ", ".join(sorted(cli.trainer.callback_metrics)) or "nothing"
        raise ValueError(f"no {name!r} was logged in the {run.stage} stage, but {logged}")
    error = float(cli.trainer.callback_metrics[name])
    if not math.isfinite(error):
        raise ValueError(f"{name!r} is {error}")
    return error


@contextlib.contextmanager
def stopped_by_user(trainer: Trainer) -> Iterator[None]:
    """Raise `KeyboardInterrupt` where Ctrl-C or SIGTERM stops what a Trainer does.

    Lightning makes a `SystemExit` of either. A library's, on an error that belongs to one run, is
    left as it is.

    Args:
        trainer: What does the work inside.
    """
    try:
        yield
    except SystemExit as error:
        if trainer.received_sigterm or isinstance(error.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        raise


class _Build(LightningCLI):
    """LightningCLI for a mapping, whatever the process's own arguments are."""

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Check the mapping; what is wrong in it is said as the command line says it."""
        try:
            self.config = parser.parse_object(args)
        except (ArgumentError, TypeError, ValueError) as error:
            if isinstance(args, dict):
                misspelt.check(args, [*misspelt.keys_of(parser), *OF_THE_COMMAND])
            raise UsageError(parse_errors.one_line(str(error))) from error


def build(config: Config) -> LightningCLI:
    """Make model, data and Trainer of a `fit` configuration, without output.

    Args:
        config: What `lightning fit --config` takes.

    Returns:
        The three, as `model`, `datamodule` and `trainer`.

    Raises:
        UsageError: The configuration has a key, class or value that cannot be.
        Exception: Whatever its classes refuse.
    """
    class_paths.bring_in()
    config = {key: value for key, value in config.items() if key not in OF_THE_COMMAND}
    trainer = merged(config.get("trainer", {}), QUIET)
    callbacks = trainer.get("callbacks") or []
    if not isinstance(callbacks, list):
        callbacks = [callbacks]
    trainer["callbacks"] = [one for one in callbacks if class_name(one) not in NEEDS_OUTPUT]
    return _Build(
        args={**config, "trainer": trainer},
        run=False,
        save_config_callback=None,
        subclass_mode_model=True,
        subclass_mode_data=True,
        parser_kwargs={"exit_on_error": False},
    )


def attempt(run: Run, measure: Measure) -> Result:
    """Measure a run; an exception becomes part of the result.

    Args:
        run: The training.
        measure: What trains and measures.

    Returns:
        The error, or what went wrong.
    """
    start = time.perf_counter()
    output = io.StringIO()
    try:
        with silence(output), isolate_rng():
            error = measure(run)
    # SystemExit too: libraries end the process on errors that belong to one run.
    except (Exception, SystemExit) as exception:
        message = parse_errors.one_line(str(exception))
        return Result(
            seconds=time.perf_counter() - start,
            failure=f"{type(exception).__name__}: {message}".rstrip(": "),
            details=traceback.format_exc() + output.getvalue()[-5000:],
        )
    return Result(seconds=time.perf_counter() - start, error=error)


@contextlib.contextmanager
def silence(output: TextIO) -> Iterator[None]:
    """Collect what a run prints or warns of, and suppress Lightning's remarks."""
    loggers: list[Any] = [logging.getLogger(f"lightning.{part}") for part in ("pytorch", "fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with (
            contextlib.redirect_stdout(output),
            contextlib.redirect_stderr(output),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("default")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
