"""The control: the same architecture with fresh weights."""

import copy
import warnings

import torch
from torch import Tensor, nn

from lit_intriguing.errors import UserError
from lit_intriguing.isolation import own_randomness


def untrained_copy(model: nn.Module, seed: int = 0) -> nn.Module:
    """Return a copy of a model with fresh weights; the model stays as it is.

    Each submodule's own `reset_parameters` draws them, and resets running statistics. A
    parameter that no submodule resets has its values shuffled, with a warning that names it: this
    destroys what was learned and keeps the scale.

    Args:
        model: Any module that can be copied.
        seed: Of the weights.

    Raises:
        UserError: The model has no parameters, or cannot be copied.
    """
    try:
        fresh = copy.deepcopy(model)
    except Exception as error:
        raise UserError(
            f"{type(model).__name__} cannot be copied for the untrained control ({error}). Give "
            "a network with fresh weights, or leave the control out."
        ) from error
    before = {name: value.detach().clone() for name, value in fresh.named_parameters()}
    if not before:
        raise UserError(
            f"{type(model).__name__} has no parameters, so it has no untrained control: leave the "
            "control out."
        )
    with own_randomness(seed), torch.no_grad():
        reset = _reset(fresh)
        shuffled = _shuffle_rest(fresh, before, reset)
    if shuffled:
        some = ", ".join(shuffled[:8]) + (", ..." if len(shuffled) > 8 else "")
        warnings.warn(
            f"Untrained control: no reset_parameters for {some}; their values are shuffled.",
            stacklevel=2,
        )
    return fresh


def _reset(model: nn.Module) -> set[nn.Module]:
    """Reset what can be; parents last, since theirs may go beyond that of their children."""
    reset = set()
    for module in reversed(list(model.modules())):
        for name in ("reset_parameters", "_reset_parameters"):
            method = getattr(module, name, None)
            if callable(method):
                method()
                reset.add(module)
                break
    return reset


def _shuffle_rest(model: nn.Module, before: dict[str, Tensor], reset: set[nn.Module]) -> list[str]:
    """Shuffle parameters that are what they were; return their names."""
    shuffled = []
    for prefix, module in model.named_modules():
        if module in reset:
            continue
        for name, parameter in module.named_parameters(prefix, recurse=False):
            # A parent's method may have reset it.
            if torch.equal(parameter, before[name]):
                flat = parameter.flatten()
                order = torch.randperm(len(flat)).to(flat.device)
                parameter.copy_(flat[order].view_as(parameter))
                shuffled.append(name)
    return shuffled
