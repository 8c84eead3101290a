"""Private names of Lightning: one function for each, and what of ours depends on it.

A release of Lightning may move these names without notice. Nothing else in the package touches
them, and `tests/private/test_of_lightning.py` has a test for each. Nothing is imported before a
function is called.
"""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from lightning.pytorch import Callback, LightningModule, Trainer
    from torch import Tensor

StepName = Literal["training_step", "validation_step", "test_step", "predict_step", "backward"]


def replace_strategy_step(trainer: Trainer, name: StepName, step: Callable[..., Any]) -> None:
    """Have the loops call `step` in place of the strategy's method.

    Lightning looks the method up by its name at each batch. `AdversarialTraining` and
    `LipschitzPenalty` replace `training_step`; `AdversarialWeightPerturbation` replaces `backward`
    too, since the finders of Lightning call no hook after it; `UnderAttack` replaces `test_step`
    and `validation_step`; `lightning attack`, `evaluate`, `transfer`, `probe` and `lipschitz
    --radii` replace `predict_step`. Where Lightning no longer looks there, they would do nothing
    without an error, so each of them also checks at its first batch that it was called.
    """
    setattr(trainer.strategy, name, step)


def restore_strategy_step(trainer: Trainer, name: StepName) -> None:
    """Undo all replacements of the strategy's method, however often this is called."""
    vars(trainer.strategy).pop(name, None)


def callbacks_of(trainer: Trainer) -> list[Callback]:
    """Return the Trainer's own list of callbacks.

    Callbacks that measure look in it for another one of the same name.
    """
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    return callbacks


@contextmanager
def added_callback(trainer: Trainer, callback: Callback) -> Iterator[None]:
    """Have a callback among the Trainer's while inside.

    `lightning attack`, `transfer`, `probe` and `lipschitz --radii` run as such a callback.
    """
    callbacks_of(trainer).append(callback)
    try:
        yield
    finally:
        callbacks_of(trainer).remove(callback)


def accumulates_gradients(trainer: Trainer) -> bool:
    """Return whether the present batch ends without an optimiser step.

    It decides when `AdversarialTraining` and `LipschitzPenalty` log.
    """
    return trainer.fit_loop._should_accumulate()


def skips_backward(trainer: Trainer) -> bool:
    """Return whether a pass over the training data has no backward and no optimiser step.

    `StochasticWeightAveraging` ends with such a pass, for the statistics of BatchNorm;
    `AdversarialTraining` stays out of it.
    """
    return trainer.fit_loop._skip_backward


def logger_is_due(trainer: Trainer) -> bool:
    """Return whether metrics are written after the present step (`log_every_n_steps`).

    It decides when `AdversarialTraining` and `LipschitzPenalty` log.
    """
    return trainer._logger_connector.should_update_logs


def optimizer_steps(trainer: Trainer) -> int:
    """Return the number of optimiser steps taken; in manual optimisation that of batches.

    The step numbers of all callbacks that measure, in file names and in loggers.
    """
    loop = trainer.fit_loop.epoch_loop
    # In a validation Lightning has not counted the step before it yet.
    before = trainer.validating and not loop._should_accumulate()
    return int(loop._batches_that_stepped) + before


def set_callback_metrics(trainer: Trainer, values: dict[str, Tensor]) -> None:
    """Put values into `trainer.callback_metrics`, without computing the others.

    `ModelCheckpoint` and `EarlyStopping` find there what our callbacks measure.
    """
    trainer._logger_connector._callback_metrics.update(values)


def validation_loop(trainer: Trainer) -> Any:
    """Return the validation loop of a fit.

    `AdversarialExamples` and `TransferEvaluation` take their examples from its data.
    """
    return trainer.fit_loop.epoch_loop.val_loop


def test_loop(trainer: Trainer) -> Any:
    """Return the loop of a test.

    `RobustnessEvaluation` takes examples from its data.
    """
    return trainer.test_loop


def loaders_of(loop: Any) -> list[Any]:
    """Return the data loaders that a loop runs over; an empty list before they are set up.

    `AdversarialExamples` and `TransferEvaluation` read their examples from them, `ExactResume` asks
    whether they resume their position.
    """
    combined = loop._combined_loader
    return [] if combined is None else list(combined.flattened)


def restore_loader_positions(trainer: Trainer) -> None:
    """Bring the training loaders to the position that the checkpoint holds.

    `ExactResume` needs it where Lightning sets the loaders up before it reads the checkpoint.
    """
    trainer.fit_loop._load_combined_loader_states()


def repair_epoch_counters(trainer: Trainer) -> None:
    """Count the epoch that runs as ready and started.

    Restarted from a checkpoint that was written at an epoch's last batch, Lightning (2.6) begins
    the next epoch without that: `FitLoop.on_advance_start` takes it for the one that was
    interrupted. A checkpoint of that epoch is then misread, and a run resumed from it trains for
    an epoch more.
    """
    progress: Any = trainer.fit_loop.epoch_progress
    for counters in (progress.current, progress.total):
        if counters.ready <= counters.processed:
            counters.ready = counters.started = counters.processed + 1


def leave_finished_epoch(trainer: Trainer) -> None:
    """Count an epoch as completed that was at its end when the checkpoint was written.

    With `max_steps` alone Lightning (2.6) ends such an epoch once more (`FitLoop.restarting` is
    always true then): it counts a step and an epoch too many, calls `on_train_epoch_end` again and
    saves a checkpoint from which a run goes on wrongly. With `max_epochs` it counts as here.
    """
    loop: Any = trainer.fit_loop
    if loop.restarted_on_epoch_end:
        loop.epoch_progress.increment_completed()
        loop.epoch_loop.restarting = loop._restarting = False
        loop.update_restart_stage()


def begin_iteration(trainer: Trainer) -> None:
    """Begin the epoch's iteration over the training loaders, if Lightning does not do so itself.

    After a restart it began before any callback could put random states back. `ExactResume` calls
    it in `on_train_epoch_start`.
    """
    loop = trainer.fit_loop
    by_itself = trainer.current_epoch > 0 and not (loop.is_resuming or loop.epoch_loop.restarting)
    if loop._data_fetcher is not None and not by_itself:
        iter(loop._data_fetcher)


def before_batch_transfer(module: LightningModule, batch: Any) -> Any:
    """Return a batch as the user's `on_before_batch_transfer` makes it.

    `AdversarialExamples` and `TransferEvaluation` prepare their examples as a step's batch.
    """
    return module._on_before_batch_transfer(batch, dataloader_idx=0)


def is_lightning_module(module: object) -> bool:
    """Return whether a module is a LightningModule, of `lightning` or of `pytorch_lightning`.

    The two packages have a class of the name each, and neither knows the other's.
    """
    kind: Any = type(module)
    return _is_lightning_class(kind)


@functools.lru_cache(maxsize=1024)
def _is_lightning_class(kind: type[Any]) -> bool:
    return any(
        base.__name__ == "LightningModule" and _package_of(base) in _PACKAGES
        for base in kind.__mro__
    )


def same_class_for(thing: object, kind: type[Any]) -> Any:
    """Return a class of `lightning.pytorch`, or the one of the package that a thing belongs to.

    A Trainer of `pytorch_lightning`, its modules and its plugins know the classes of that package
    alone.

    Args:
        thing: A Trainer, a LightningModule or a plugin, of either package.
        kind: A class of `lightning.pytorch`.
    """
    packages = [_package_of(one) for one in type(thing).__mro__]
    return _twin(kind) if next(filter(_PACKAGES.__contains__, packages), "") == _OTHER else kind


def make_known_to_both(kind: type[Any]) -> None:
    """Make a class of ours that extends one of `lightning` extend that of `pytorch_lightning` too.

    The latter's command line takes its own callbacks alone. Only where that package is loaded.
    """
    if _OTHER not in sys.modules:
        return
    for ours in kind.__mro__:
        theirs = [one for one in ours.__bases__ if _package_of(one) == "lightning"]
        if _package_of(ours) == "lit_intriguing" and theirs:
            new = [one for one in map(_twin, theirs) if not issubclass(ours, one)]
            ours.__bases__ = (*ours.__bases__, *new)


def _twin(kind: type[Any]) -> Any:
    name = kind.__module__.replace("lightning.pytorch", _OTHER, 1)
    return getattr(importlib.import_module(name), kind.__name__)


def _package_of(kind: type[Any]) -> str:
    return kind.__module__.partition(".")[0]


_OTHER = "pytorch_lightning"
_PACKAGES = ("lightning", _OTHER)

LOGS = ("lightning.pytorch", _OTHER)
"""Names of Lightning's logs: where both packages are imported, one speaks through the other's."""


HOOK_NOTE = "_current_fx_name"
"""The attribute of a LightningModule in which Lightning notes the hook that it calls.

Our modules set it without the search for parameters. Under another name they are slower by a few
hundredths of a step.
"""


def trainer_or_none(module: LightningModule) -> Trainer | None:
    """Return the module's Trainer, or None; the public property raises without one.

    `Classifier` asks it whether `train/loss` is written after this step; `muted` puts a stand-in in
    its place.
    """
    return module._trainer


def starts_processes(trainer: Trainer) -> bool:
    """Return whether all ranks run in processes that this one starts and waits for.

    So it is under `ddp_fork`, `ddp_spawn` and in notebooks: `lightning transfer` and `probe` then
    read what was found from the disk.
    """
    from lightning.pytorch.strategies.launchers.multiprocessing import _MultiProcessingLauncher

    return isinstance(trainer.strategy.launcher, _MultiProcessingLauncher)


def prefix_of(logger: Any) -> str:
    """Return what a logger puts before the names of metrics (`_prefix`), with what joins them.

    W&B is told by their whole names which value of a metric is the best one.
    """
    prefix = getattr(logger, "_prefix", "")
    return f"{prefix}{logger.LOGGER_JOIN_CHAR}" if prefix else ""


def made_by_command_line() -> bool:
    """Say whether a module is being made from a configuration (`_given_hyperparameters`).

    `save_hyperparameters` then takes what was configured, which holds no module, and not the
    arguments of the constructor. Where Lightning keeps that elsewhere, checkpoints of a run of the
    command line do not say how their model was made.
    """
    from lightning.pytorch.core.mixins.hparams_mixin import _given_hyperparameters

    return _given_hyperparameters.get() is not None


def saves_shards(strategy: Any) -> bool:
    """Return whether `ModelParallelStrategy` writes checkpoints as folders.

    Where Lightning keeps that elsewhere, a run that is killed while it saves may leave a folder
    with shards of two moments.
    """
    return bool(strategy._save_distributed_checkpoint)
