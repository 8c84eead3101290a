"""Which weights of a model a checkpoint does not have, or has in another shape."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn


def misfit(model: nn.Module, state: Any) -> str:
    """Return which of a model's weights are missing or of another shape; empty if none are.

    Args:
        model: Whose weights they should be.
        state: Name to tensor.
    """
    if not isinstance(state, Mapping):
        return ""
    wanted, there = model.state_dict(), list(state)
    shapes = [
        f"{name} has shape {_shape(state[name])}, not {_shape(one)}"
        for name, one in wanted.items()
        if name in state and _shape(state[name]) != _shape(one)
    ]
    missing = [name for name in wanted if name not in state]
    unknown = [name for name in there if name not in wanted]
    parts = [("it lacks ", missing), ("the model has no ", unknown), ("", shapes)]
    return "; ".join(f"{words}{_few(names)}" for words, names in parts if names)


def _shape(value: Any) -> Any:
    return tuple(getattr(value, "shape", ()))


def _few(names: Sequence[str]) -> str:
    """Return the first name, and how many more there are."""
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f"{names[0]}{more}"
