"""Strategies that spread one model's weights over processes."""

from lightning.pytorch.strategies import (
    DeepSpeedStrategy,
    FSDPStrategy,
    ModelParallelStrategy,
    Strategy,
)


def takes_apart(strategy: Strategy) -> bool:
    """Return whether no process has all weights of the model."""
    return isinstance(strategy, DeepSpeedStrategy | FSDPStrategy | ModelParallelStrategy)


def flattens(strategy: Strategy) -> bool:
    """Return whether layers have no weights of their own shape while the strategy runs.

    FSDP2 (`ModelParallelStrategy`) keeps each layer's parameters, in parts.
    """
    return isinstance(strategy, DeepSpeedStrategy | FSDPStrategy)
