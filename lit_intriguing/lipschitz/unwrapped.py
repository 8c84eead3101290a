"""A module as its author wrote it: without shards, compilation and hooks."""

import functools
from collections.abc import Callable, Iterable
from copy import copy as copy_of
from types import FunctionType, MethodType
from typing import Any

import torch
from torch import Tensor, nn

from lit_intriguing.private import of_torch
from lit_intriguing.splice import is_quantised

WEIGHT_HOOKS = "torch.nn.utils"
"""Where the hooks come from that compute a weight before each forward."""

HARMLESS_HOOKS = [
    WEIGHT_HOOKS,
    "torch.nn.modules.lazy",
    "torch.nn.parallel",
    "torch.distributed",
    "torch.utils",
    "lightning",
    "pytorch_lightning",
    "wandb",
    "lit_intriguing.splice",
]
"""Python modules and packages whose forward hooks leave a layer's function as it is.

They gather weights, count, or note what passes. To these a program may append its own: what a
hook does cannot be seen from outside.
"""

_ADVICE = (
    ": remove it or, if it only looks, append the Python module that it comes from to "
    "lit_intriguing.lipschitz.HARMLESS_HOOKS"
)

_CHANGED_BY = "_lit_intriguing_changed_by"
_ORIGINALS = "_lit_intriguing_originals"
_NOT_COPIED = (*of_torch.PARTS, "forward", _CHANGED_BY, _ORIGINALS)


class Scripted(nn.Module):
    """Stands for a module that TorchScript compiled: there is no code to follow."""

    def __init__(self) -> None:
        super().__init__()
        self.__dict__[_CHANGED_BY] = "is compiled by TorchScript"
        self.__dict__[_ORIGINALS] = ()
        self.eval()


def unwrapped(module: nn.Module, weight: Callable[[Tensor], Tensor] | None = None) -> nn.Module:
    """Copy a module's structure, not its weights.

    What was done to the module for a run is undone in the copy: the types that `fully_shard`
    gave its parts, `torch.compile` around it or inside it, and hooks, except those that compute a
    weight (`weight_norm`, `spectral_norm`, pruning). Of forward hooks that may change what a
    part gives, `changed_by` still says so. All is in evaluation mode. The module itself stays as it
    is: what is set on the copy, or put into its lists, dictionaries and sets, does not reach it.
    Methods and parts that the module stores as attributes are the copy's own in it. What
    TorchScript compiled is not copied; `changed_by` says so.

    Args:
        module: Any; parts and weights that occur several times do so in the copy.
        weight: What stands in the copy for each parameter and buffer; by default these themselves.

    Returns:
        The copy.
    """
    done: dict[int, Any] = {}
    copy = _copied(module, weight or _same, done)
    for each in [one for one in done.values() if isinstance(one, nn.Module)]:
        hooks = of_torch.containers_of_hooks(vars(each))
        for name, value in vars(each).items():
            if name not in _NOT_COPIED and name not in hooks:
                each.__dict__[name] = _own(value, done)
    return copy


def changed_by(module: nn.Module) -> str:
    """Say what may make a module's output differ from that of its type's forward.

    That is a `forward` of its own, in torch's own modules any other method, and any forward hook
    or pre-hook, the module's or one that torch calls for all, that does not come from
    `HARMLESS_HOOKS`: a hook can return anything.

    Args:
        module: Any, or a copy by `unwrapped` of one. Its submodules are not looked at.

    Returns:
        A few words to follow the module's name; empty if there is nothing.
    """
    if is_quantised(module):
        return "is quantised, and rounding has no Lipschitz constant"
    if _has_own_forward(module):
        return "has a forward of its own"
    methods = _own_methods(module)
    if methods:
        return f"has methods of its own ({', '.join(methods)})"
    return _hooked(module) or _hooked_everywhere()


def originals(copy: nn.Module) -> list[nn.Module]:
    """Return what the parts of a copy are copies of; where that is a copy, its original too."""
    return [one for part in copy.modules() for one in vars(part).get(_ORIGINALS, ())]


def full_weight(weight: Tensor) -> Tensor:
    """Return the weight, detached; a distributed one whole, on the CPU: all processes call."""
    gather = getattr(weight, "full_tensor", None)
    return weight.detach() if gather is None else gather().detach().cpu()


def sharded(module: nn.Module) -> bool:
    """Return whether any parameter is distributed over processes."""
    return any(hasattr(parameter, "full_tensor") for parameter in module.parameters())


def _same(weight: Tensor) -> Tensor:
    return weight


def _copied(
    module: nn.Module, weight: Callable[[Tensor], Tensor], done: dict[int, Any]
) -> nn.Module:
    if of_torch.is_compile_wrapper(module):
        inner = _copied(of_torch.inside_compile_wrapper(module), weight, done)
        inner.__dict__[_CHANGED_BY] = _hooked(module) or _hooked(inner)
        inner.__dict__[_ORIGINALS] += (module,)
        return inner
    if id(module) in done:
        return done[id(module)]  # type: ignore[no-any-return]
    if isinstance(module, torch.jit.ScriptModule):
        done[id(module)] = Scripted()
        return done[id(module)]  # type: ignore[no-any-return]
    copy: nn.Module = object.__new__(of_torch.type_before_sharding(module))
    done[id(module)] = copy
    # Past `__setattr__`, which would look for parameters and find none set up.
    copy.__dict__.update(_without_traces(module))
    for kind in of_torch.PARTS:
        copy.__dict__[kind] = {
            name: part if part is None else _part(part, weight, done)
            for name, part in of_torch.own_parts(module, kind).items()
        }
    return copy


def _part(
    part: nn.Module | Tensor, weight: Callable[[Tensor], Tensor], done: dict[int, Any]
) -> nn.Module | Tensor:
    if isinstance(part, nn.Module):
        return _copied(part, weight, done)
    return _replaced(part, weight, done)


def _without_traces(module: nn.Module) -> dict[str, Any]:
    """Return the module's attributes, its containers of hooks new and empty."""
    attributes = {**vars(module), _CHANGED_BY: _hooked(module), "training": False}
    attributes[_ORIGINALS] = (*attributes.get(_ORIGINALS, ()), module)
    if not _has_own_forward(module):
        attributes.pop("forward", None)
    of_torch.set_not_compiled(attributes)
    for name, hooks in of_torch.containers_of_hooks(attributes).items():
        attributes[name] = type(hooks)(
            (key, hook)
            for key, hook in hooks.items()
            if name == of_torch.PRE_HOOKS and _comes_from([WEIGHT_HOOKS], hook)
        )
    return attributes


def _has_own_forward(module: nn.Module) -> bool:
    # DDP through Lightning leaves the type's own behind, bound, as an attribute.
    if "forward" not in vars(module) or of_torch.is_compile_wrapper(module):
        return False
    forward = of_torch.before_compilation(vars(module)["forward"])
    bound = getattr(forward, "__func__", None), getattr(forward, "__self__", None)
    return forward is not None and bound != (type(module).forward, module)


def _own_methods(module: nn.Module) -> list[str]:
    """Return the names of the methods of a type of torch's that were replaced on this module."""
    kind = type(module)
    if not kind.__module__.startswith("torch.nn."):
        return []
    methods = (name for name in vars(module) if isinstance(getattr(kind, name, None), FunctionType))
    return [
        name for name in methods if name in of_torch.call_methods() or not hasattr(nn.Module, name)
    ]


def _hooked(module: nn.Module) -> str:
    hooks = _strange([*of_torch.forward_pre_hooks(module), *of_torch.forward_hooks(module)])
    if hooks:
        return f"has a forward hook that may change its output ({', '.join(hooks)}){_ADVICE}"
    return str(vars(module).get(_CHANGED_BY, ""))


def _hooked_everywhere() -> str:
    hooks = _strange(of_torch.global_forward_hooks())
    text = f"is under a global forward hook that may change outputs ({', '.join(hooks)}){_ADVICE}"
    return text if hooks else ""


def _strange(hooks: Iterable[Any]) -> list[str]:
    """Return the names of those that may do anything."""
    return [_name(hook) for hook in hooks if not _comes_from(HARMLESS_HOOKS, hook)]


def _comes_from(places: Iterable[str], hook: Any) -> bool:
    # An object has the module of its type, a partial that of functools.
    place = str(getattr(_inner(hook), "__module__", "")) + "."
    return place.startswith(tuple(f"{each}." for each in places))


def _inner(hook: Any) -> Any:
    return _inner(hook.func) if isinstance(hook, functools.partial) else hook


def _name(hook: Any) -> str:
    hook = _inner(hook)
    return str(getattr(hook, "__qualname__", type(hook).__qualname__))


def _own(value: Any, done: dict[int, Any]) -> Any:
    """Return an attribute's value in the copy: the module's own parts replaced, containers new."""
    if id(value) in done:
        return done[id(value)]
    if isinstance(value, MethodType):
        return MethodType(value.__func__, _own(value.__self__, done))
    if type(value) is functools.partial:
        args, named = ([_own(one, done) for one in value.args], value.keywords)
        return functools.partial(
            _own(value.func, done), *args, **{name: _own(one, done) for name, one in named.items()}
        )
    if type(value) is tuple:
        return tuple(_own(one, done) for one in value)
    if not isinstance(value, list | dict | set):
        return value
    copy = done[id(value)] = copy_of(value)
    if isinstance(copy, list):
        copy[:] = [_own(one, done) for one in copy]
    elif isinstance(copy, dict):
        copy.update({key: _own(one, done) for key, one in copy.items()})
    return copy


def _replaced(tensor: Tensor, weight: Callable[[Tensor], Tensor], done: dict[int, Any]) -> Tensor:
    if id(tensor) not in done:
        done[id(tensor)] = weight(tensor)
    return done[id(tensor)]  # type: ignore[no-any-return]
