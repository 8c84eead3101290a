"""Callbacks around the host's training step: the one place that every strategy passes."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from lit_intriguing.errors import UserError
from lit_intriguing.hosts.checkpoint_file import check_checkpoint
from lit_intriguing.private.of_lightning import (
    accumulates_gradients,
    logger_is_due,
    replace_strategy_step,
    restore_strategy_step,
)

Step = Callable[..., Any]


class StepNotCalledError(UserError, RuntimeError):
    """Lightning did not call the step that stands in place of the strategy's own."""

    def __init__(self, who: str, step: str) -> None:
        super().__init__(
            f"{who} had no effect on the first batch: lightning {version('lightning')} did not "
            f"call the step that replaces strategy.{step}. Reinstall lit-intriguing: that brings a "
            "version of lightning that it supports."
        )


class AroundTrainingStep(Callback, ABC):
    """A callback around each training step of a fit, which leaves nothing behind.

    A subclass calls `wrap` in its `on_fit_start`, after what it checks. It takes over the state of
    a checkpoint, which is stored in `_restored` until training starts.
    """

    def __init__(self) -> None:
        super().__init__()
        self._last_trainer: int | None = None
        self._restored: Mapping[str, Any] | None = None
        self._was_called = False

    @abstractmethod
    def around_step(
        self, trainer: Trainer, pl_module: LightningModule, inner: Step, *args: Any, **kwargs: Any
    ) -> Any:
        """Run in place of the strategy's training step, `inner`, with its arguments."""

    @abstractmethod
    def remove_hooks(self) -> None:
        """Take all hooks off the module, however often this is called."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Have a damaged checkpoint refused when it is read; see `check_checkpoint`."""
        check_checkpoint(trainer)

    def is_new_run(self, trainer: Trainer) -> bool:
        """Return whether a fit does not continue the last one, by another `fit` of its Trainer."""
        new = id(trainer) != self._last_trainer or trainer.global_step == 0
        self._last_trainer = id(trainer)
        return new

    def wrap(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Have `around_step` called from now on."""
        self._was_called = False

        def step(inner: Step, *args: Any, **kwargs: Any) -> Any:
            self._was_called = True
            return self.around_step(trainer, pl_module, inner, *args, **kwargs)

        wrap_training_step(trainer, step)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Check that the step was called.

        Raises:
            StepNotCalledError: If a batch ended without it.
        """
        # Lightning does no step for a loader's None.
        if not self._was_called and batch is not None:
            raise StepNotCalledError(type(self).__name__, "training_step")

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Leave no hook behind."""
        self._unwrap(trainer)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Leave no hook behind, and no state that an evaluation's checkpoint brought."""
        self._unwrap(trainer)
        self._restored = None

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Store the state until training starts."""
        self._restored = state_dict

    def _unwrap(self, trainer: Trainer) -> None:
        self.remove_hooks()
        unwrap_training_step(trainer)


def wrap_training_step(trainer: Trainer, wrapper: Step) -> None:
    """Have `wrapper(inner, batch, ...)` called in place of the strategy's step, `inner`.

    It runs on every process, in automatic and in manual optimisation, and each time that a closure
    asks for the loss. The precision's context covers `inner` alone.
    """
    inner = trainer.strategy.training_step
    replace_strategy_step(
        trainer, "training_step", lambda *args, **kwargs: wrapper(inner, *args, **kwargs)
    )


def unwrap_training_step(trainer: Trainer) -> None:
    """Take all wrappers away, however often this is called."""
    restore_strategy_step(trainer, "training_step")


def logs_now(trainer: Trainer) -> bool:
    """Return whether what is logged at a batch's end is written (see `log_every_n_steps`)."""
    # Lightning's own condition, in `_LoggerConnector.update_train_step_metrics`.
    if not logger_is_due(trainer):
        return False
    by_itself = trainer.lightning_module.automatic_optimization
    return not (by_itself and accumulates_gradients(trainer))
