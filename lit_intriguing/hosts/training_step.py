"""Around the host's training step: the one place that every strategy and precision passes."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

Step = Callable[..., Any]


class AroundTrainingStep(Callback, ABC):
    """Stands around each training step of a fit, and leaves nothing on it afterwards.

    A subclass wraps the step by `wrap` in its ``on_fit_start``, after what it checks, and takes
    over a checkpoint's state, which is kept in ``_restored`` until training starts.
    """

    def __init__(self) -> None:
        super().__init__()
        self._last_trainer: int | None = None
        self._restored: Mapping[str, Any] | None = None

    @abstractmethod
    def around_step(
        self, trainer: Trainer, pl_module: LightningModule, inner: Step, *args: Any, **kwargs: Any
    ) -> Any:
        """Called in place of the strategy's training step, ``inner``, with its arguments."""

    @abstractmethod
    def remove_hooks(self) -> None:
        """Take all hooks off the module, however often this is called."""

    def is_new_run(self, trainer: Trainer) -> bool:
        """Whether a fit does not go on from the last one, by another ``fit`` of its Trainer."""
        new = id(trainer) != self._last_trainer or trainer.global_step == 0
        self._last_trainer = id(trainer)
        return new

    def wrap(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Have `around_step` called from now on."""
        wrap_training_step(
            trainer,
            lambda inner, *args, **kwargs: self.around_step(
                trainer, pl_module, inner, *args, **kwargs
            ),
        )

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
        """Keep the state until training starts."""
        self._restored = state_dict

    def _unwrap(self, trainer: Trainer) -> None:
        self.remove_hooks()
        unwrap_training_step(trainer)


def wrap_training_step(trainer: Trainer, wrapper: Step) -> None:
    """Have ``wrapper(inner, batch, ...)`` called in place of the strategy's step, ``inner``.

    It runs on every process, in automatic and in manual optimisation, and each time that a closure
    asks for the loss; the precision's context covers ``inner`` alone.
    """
    strategy: Any = trainer.strategy
    inner = strategy.training_step
    strategy.training_step = lambda *args, **kwargs: wrapper(inner, *args, **kwargs)


def unwrap_training_step(trainer: Trainer) -> None:
    """Take all wrappers away, however often this is called."""
    trainer.strategy.__dict__.pop("training_step", None)


def logs_now(trainer: Trainer) -> bool:
    """Whether what a batch's end logs is written: about once in ``log_every_n_steps`` steps."""
    # Lightning's own condition, in `_LoggerConnector.update_train_step_metrics`.
    accumulates = trainer.fit_loop._should_accumulate()
    by_itself = trainer.lightning_module.automatic_optimization
    return trainer._logger_connector.should_update_logs and not (accumulates and by_itself)
