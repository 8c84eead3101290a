"""A host's step called aside: it computes as always and leaves nothing behind."""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from lit_intriguing.hosts.muted import muted
from lit_intriguing.isolation import own_randomness
from lit_intriguing.splice import eager


class Aside:
    """Runs code of a module without a trace.

    Nothing is logged or printed. Random states, buffers, attributes of the module and of all
    modules in it, with lists and mappings in them, and weights that the code writes itself are
    afterwards the very objects that they were, unchanged. The code works on copies, so that a
    backward pass that is still to come finds what its forward left.

    The first run copies all weights, to see which of them the code writes, such as those of a
    momentum encoder; later runs copy only these.

    Args:
        module: Any module.
    """

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self._written: set[str] | None = None

    @contextmanager
    def entered(self, seed: int) -> Iterator[None]:
        """Run code inside.

        Args:
            seed: Of the random numbers inside, at least 0.
        """
        with (
            own_randomness(seed % 2**32),
            _exchanged(self.module),
            muted(self.module),
            eager(self.module),
            self._weights(),
        ):
            yield

    @contextmanager
    def _weights(self) -> Iterator[None]:
        weights = {
            name: (weight, weight.data)
            for name, weight in self.module.named_parameters()
            if (self._written is None or name in self._written) and not _is_sharded(weight)
        }
        for weight, data in weights.values():
            weight.data = data.clone()
        try:
            yield
        finally:
            written = set()
            for name, (weight, data) in weights.items():
                if self._written is None and not torch.equal(weight.data, data):
                    written.add(name)
                weight.data = data
        if self._written is None:
            self._written = written


@contextmanager
def _exchanged(module: nn.Module) -> Iterator[None]:
    """Put copies in the place of all buffers and attributes while inside."""
    scripted = [each for each in module.modules() if isinstance(each, torch.jit.ScriptModule)]
    # Their buffers are no attributes in Python.
    inside = {one: one.data for each in scripted for one in each.buffers()}
    for buffer, data in inside.items():
        buffer.data = data.clone()
    in_python = [one for one in module.modules() if not isinstance(one, torch.jit.ScriptModule)]
    before = [(vars(each), dict(vars(each))) for each in in_python]
    for attributes, originals in before:
        for name, value in originals.items():
            if name not in _OF_TORCH or name == "_buffers":
                attributes[name] = _copied(value)
    try:
        yield
    finally:
        for attributes, originals in before:
            attributes.clear()
            attributes.update(originals)
        for buffer, data in inside.items():
            buffer.data = data


def _is_sharded(weight: Tensor) -> bool:
    """Return whether a process has a part of the weight only, which no step writes."""
    return hasattr(weight, "full_tensor")


_OF_TORCH = frozenset(vars(nn.Module()))
"""Attributes of every module: children, weights, hooks, the mode."""


def _copied(value: Any) -> Any:
    """Return a copy of a tensor or a container, with copies in it; anything else as it is."""
    if isinstance(value, Tensor):
        # Weights are dealt with apart; a sum of activations may be written in place.
        return value if value.requires_grad and value.is_leaf else value.clone()
    kind = type(value)
    if kind is list or kind is tuple:
        return kind(map(_copied, value))
    if kind is dict:
        return {key: _copied(one) for key, one in value.items()}
    return value.copy() if kind is set or kind is deque else value
