"""Gradients wherever they are needed, and the modes of modules restored."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


@contextmanager
def grad_island() -> Iterator[None]:
    """Make gradients available inside `no_grad` and inside `inference_mode`.

    Tensors made under inference mode must pass through `ordinary` first.
    """
    with torch.inference_mode(False), torch.enable_grad():
        yield


def ordinary(tensor: Tensor) -> Tensor:
    """Return a detached tensor that autograd accepts: a copy only of an inference tensor."""
    return tensor.clone() if tensor.is_inference() else tensor.detach()


@contextmanager
def preserved(module: nn.Module) -> Iterator[None]:
    """Put `module` in evaluation mode and give each submodule its own mode back at the end.

    A frozen BatchNorm inside a training network stays frozen: modes are restored one by one, not
    by `module.train()`.
    """
    with evaluating(module.modules()):
        yield


@contextmanager
def evaluating(modules: Iterable[nn.Module]) -> Iterator[None]:
    """Put each module in evaluation mode by itself, and give it its own mode back at the end."""
    training = [module for module in modules if module.training]
    _set_training(training, False)
    try:
        yield
    finally:
        _set_training(training, True)


def _set_training(modules: Iterable[nn.Module], training: bool) -> None:
    for module in modules:
        if isinstance(module, torch.jit.ScriptModule):  # its mode is not an attribute in Python
            module.training = training
        else:
            # A module's own `__setattr__` looks for parameters first: it costs more than a layer.
            object.__setattr__(module, "training", training)
