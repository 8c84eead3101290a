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


def quantised_layers(model: nn.Module) -> list[str]:
    """Return the names of the layers that torch has quantised: they round, and have no gradient."""
    names: list[str] = []
    for name, module in model.named_modules():
        inside = names and name.startswith(f"{names[-1]}.")
        if is_quantised(module) and not inside:
            names.append(name)
    return names


def is_quantised(module: nn.Module) -> bool:
    """Return whether this very module is a quantised layer of torch's."""
    return type(module).__module__.startswith(_QUANTISED)


_QUANTISED = (
    "torch.ao.nn.quantized",
    "torch.ao.nn.intrinsic.quantized",
    "torch.ao.nn.sparse.quantized",
)
