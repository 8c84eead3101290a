"""The control: the same architecture with fresh weights."""

import copy
import warnings
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from lit_intriguing.autograd import quantised_layers
from lit_intriguing.errors import UserError
from lit_intriguing.isolation import own_randomness
from lit_intriguing.private.of_torch import (
    is_compile_wrapper,
    is_fully_sharded,
    set_not_compiled,
)


def untrained_copy(model: nn.Module, seed: int = 0, shared: Iterable[object] = ()) -> nn.Module:
    """Return a copy of a model with fresh weights; the model stays as it is.

    Each submodule's own `reset_parameters` draws them, and resets running statistics. A
    parameter that no submodule resets has its values shuffled, with a warning that names it: this
    destroys what was learned and keeps the scale. Quantised layers keep theirs, with a warning.

    Args:
        model: Any module.
        seed: Of the weights.
        shared: What the copy may refer to and is not to copy, such as its Trainer with the loggers.

    Raises:
        UserError: The model has no parameters, or no process has all of them.
    """
    check_copyable(model)
    fresh = _copied(model, {id(one): one for one in shared})
    for module in fresh.modules():  # else the copy would call what was compiled, the model's own
        if not is_compile_wrapper(module):
            set_not_compiled(vars(module))
    before = {name: value.detach().clone() for name, value in fresh.named_parameters()}
    if not before:
        raise UserError(
            f"{type(model).__name__} has no parameters, so it has no untrained control: leave the "
            "control out."
        )
    with own_randomness(seed), torch.no_grad():
        reset = _reset(fresh)
        shuffled = _shuffle_rest(fresh, before, reset)
    _tell(shuffled, "no reset_parameters for {}; their values are shuffled")
    _tell(quantised_layers(fresh), "{} are quantised and keep their weights")
    return fresh


def check_copyable(model: nn.Module) -> None:
    """Raise where no process has all weights of a model, so that there can be no copy.

    Raises:
        UserError: With what to do.
    """
    if any(is_fully_sharded(one) for one in model.modules()):
        raise UserError(
            "a sharded model (FSDP2) has no untrained control, which is a copy: leave the control "
            "out (control=False, --control false), or work on one process, which reads the same "
            "checkpoint (--trainer.strategy auto --trainer.devices 1)."
        )


def _tell(names: list[str], what: str) -> None:
    if names:
        some = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
        warnings.warn(f"Untrained control: {what.format(some)}.", stacklevel=3)


def _copied(module: nn.Module, memo: dict[int, Any]) -> nn.Module:
    """Copy a module; of plain attributes those that cannot be copied are shared.

    Metrics are shared as well: they are no part of the network, and may hold what cannot be copied.
    The command line gives modules an optimizer's factory, which holds a generator.
    """
    try:
        copied: nn.Module = _attempt(module, memo)
        return copied
    except Exception:
        fresh = module.__class__.__new__(module.__class__)
    memo[id(module)] = fresh
    # A LightningModule's leaves the Trainer out.
    state: Any = module.__getstate__()  # type: ignore[no-untyped-call]
    for name, value in (state if isinstance(state, dict) else vars(module)).items():
        if name == "_modules":
            fresh.__dict__[name] = {
                key: child if child is None or _is_metric(child) else _copied(child, memo)
                for key, child in value.items()
            }
            continue
        try:
            fresh.__dict__[name] = _attempt(value, memo)
        except Exception:
            fresh.__dict__[name] = value
    if type(module).__setstate__ is not nn.Module.__setstate__:  # an LSTM's state lacks something
        restore: Any = fresh.__setstate__
        restore(vars(fresh))
    return fresh


def _is_metric(module: nn.Module) -> bool:
    """Return whether a module is one of torchmetrics, which is slow to import."""
    kinds = type(module).__mro__
    return any(k.__name__ == "Metric" and k.__module__.startswith("torchmetrics") for k in kinds)


def _attempt(thing: Any, memo: dict[int, Any]) -> Any:
    """Copy a thing, and take note of what was copied only where that went well."""
    tried = dict(memo)
    copied = copy.deepcopy(thing, tried)
    memo.update(tried)
    return copied


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
