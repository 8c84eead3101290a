"""The control: the same architecture with fresh weights."""

import copy
import warnings
from collections.abc import Iterable, Iterator, Sequence
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

_MOVE = 0.7310585786300049
"""By so much weights are moved before a reset, so that those it leaves out can be told."""


def untrained_copy(model: nn.Module, seed: int = 0, shared: Iterable[object] = ()) -> nn.Module:
    """Return a copy of a model with fresh weights; the model stays as it is.

    Each submodule's own `reset_parameters` draws them, and resets running statistics. A
    parameter that none of these sets has its values shuffled, with a warning that names it: this
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
    parts = list(_parts(fresh, set()))
    parameters = [value for part in parts for value in part.parameters(recurse=False)]
    before = {id(value): value.detach().clone() for value in parameters}
    if not before:
        raise UserError(
            f"{type(model).__name__} has no parameters, so it has no untrained control: leave the "
            "control out."
        )
    with own_randomness(seed), torch.no_grad():
        for parameter in fresh.parameters():
            if id(parameter) in before:
                parameter.copy_(_moved(parameter))
        _reset(parts)
        shuffled = _shuffle_rest(fresh, before)
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


def _copied(module: nn.Module, memo: dict[Any, Any]) -> nn.Module:
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
            # A weight that a hook computes is part of a graph; the copy's own is drawn into.
            fresh.__dict__[name] = value.detach().clone() if isinstance(value, Tensor) else value
    if type(module).__setstate__ is not nn.Module.__setstate__:  # an LSTM's state lacks something
        restore: Any = fresh.__setstate__
        restore(vars(fresh))
    return fresh


def _is_metric(module: nn.Module) -> bool:
    """Return whether a module is one of torchmetrics, which is slow to import."""
    kinds = type(module).__mro__
    return any(k.__name__ == "Metric" and k.__module__.startswith("torchmetrics") for k in kinds)


def _attempt(thing: Any, memo: dict[Any, Any]) -> Any:
    """Copy a thing, and take note of what was copied only where that went well."""
    tried = dict(memo)
    copied = copy.deepcopy(thing, tried)
    # What must live as long as the memo stands under the identity of `tried`, which another object
    # has later: that one would be taken for copied.
    memo.setdefault("kept", []).append(tried.pop(id(tried), None))
    memo.update(tried)
    return copied


def _parts(module: nn.Module, seen: set[nn.Module]) -> Iterator[nn.Module]:
    """Yield the modules of a network, each once, without those of its metrics, which may be shared.

    A metric such as LPIPS has a network of its own.
    """
    if module in seen or _is_metric(module):
        return
    seen.add(module)
    yield module
    for child in module.children():
        yield from _parts(child, seen)


def _reset(parts: Sequence[nn.Module]) -> None:
    """Reset what can be; parents last, since theirs may go beyond that of their children."""
    for module in reversed(parts):
        for name in ("reset_parameters", "_reset_parameters"):
            method = getattr(module, name, None)
            if callable(method):
                method()
                break


def _moved(values: Tensor) -> Tensor:
    """Return values that no reset gives, whatever they were: weights may be fresh already."""
    return values + _MOVE if values.is_floating_point() else values


def _shuffle_rest(model: nn.Module, before: dict[int, Tensor]) -> list[str]:
    """Shuffle what no method has set; return the names of these parameters.

    A method that resets a module may leave parameters out, such as those that
    `torch.nn.utils.weight_norm` puts into the place of a weight.

    Args:
        model: Moved, and then reset.
        before: Each parameter's values before, by identity: modules may share a parameter.
    """
    shuffled = []
    for name, parameter in model.named_parameters():
        own = before.get(id(parameter))
        if own is None:
            continue
        left = (parameter == _moved(own)) | (parameter.isnan() & own.isnan())
        if bool(left.any()):
            values = own[left]
            parameter[left] = values[torch.randperm(len(values)).to(values.device)]
            shuffled.append(name)
    return shuffled
