"""Around the host's training step: the one place that every strategy and precision passes."""

from collections.abc import Callable
from typing import Any

from lightning.pytorch import Trainer

Step = Callable[..., Any]


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
