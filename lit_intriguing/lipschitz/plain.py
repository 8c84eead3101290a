"""A module as its author wrote it: without shards, compilation and hooks."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

WEIGHT_HOOKS = "torch.nn.utils"
"""Where the hooks come from that compute a weight before each forward."""


def plain(module: nn.Module, weight: Callable[[Tensor], Tensor] | None = None) -> nn.Module:
    """Copy a module's structure, not its weights.

    What was done to the module for a run is undone in the copy: the types that ``fully_shard``
    gave its parts, ``torch.compile`` around it or inside it, and hooks, except those that compute a
    weight (``weight_norm``, ``spectral_norm``, pruning). All is in evaluation mode. The module
    itself stays as it is, and what is set on the copy does not reach it.

    Args:
        module: Any; parts and weights that occur several times do so in the copy.
        weight: What stands in the copy for each parameter and buffer; by default these themselves.

    Returns:
        The copy.
    """
    return _copied(module, weight or _same, {})


def full_weight(weight: Tensor) -> Tensor:
    """The weight, detached; of a distributed one all of it, on the CPU: every process must call."""
    gather = getattr(weight, "full_tensor", None)
    return weight.detach() if gather is None else gather().detach().cpu()


def sharded(module: nn.Module) -> bool:
    """Whether any parameter is distributed over processes."""
    return any(hasattr(parameter, "full_tensor") for parameter in module.parameters())


def is_fully_sharded(module: nn.Module) -> bool:
    """Whether ``fully_shard`` was called on this very module."""
    return type(module).__name__.startswith("FSDP") and any(
        kind.__name__ == "FSDPModule" for kind in type(module).__mro__
    )


def plain_name(name: str) -> str:
    """A submodule's name without what ``torch.compile`` put into it.

    >>> plain_name("net._orig_mod.0")
    'net.0'
    """
    return ".".join(part for part in name.split(".") if part != "_orig_mod")


def _same(weight: Tensor) -> Tensor:
    return weight


def _copied(
    module: nn.Module, weight: Callable[[Tensor], Tensor], done: dict[int, Any]
) -> nn.Module:
    if type(module).__name__ == "OptimizedModule":
        return _copied(module._orig_mod, weight, done)  # type: ignore[arg-type]
    if id(module) in done:
        return done[id(module)]  # type: ignore[no-any-return]
    copy: nn.Module = object.__new__(_kind(module))
    done[id(module)] = copy
    # Past `__setattr__`, which would look for parameters and find none set up.
    copy.__dict__.update(_without_traces(module))
    copy.__dict__["_modules"] = {
        name: part if part is None else _copied(part, weight, done)
        for name, part in module._modules.items()
    }
    for kind in ("_parameters", "_buffers"):
        copy.__dict__[kind] = {
            name: tensor if tensor is None else _replaced(tensor, weight, done)
            for name, tensor in getattr(module, kind).items()
        }
    return copy


def _kind(module: nn.Module) -> type[Any]:
    # `fully_shard` makes a type with the bases (FSDPModule, the module's own type).
    return type(module).__bases__[-1] if is_fully_sharded(module) else type(module)


def _without_traces(module: nn.Module) -> dict[str, Any]:
    """The module's attributes, its containers of hooks new and empty."""
    kept = dict(vars(module))
    # DDP through Lightning leaves a module's own forward behind, bound, as an attribute.
    if getattr(kept.get("forward"), "__func__", None) is type(module).forward:
        del kept["forward"]
    for name, value in kept.items():
        if "hooks" in name and isinstance(value, dict):
            kept[name] = type(value)(
                (key, hook)
                for key, hook in value.items()
                if name == "_forward_pre_hooks" and type(hook).__module__.startswith(WEIGHT_HOOKS)
            )
    return {**kept, "training": False, "_compiled_call_impl": None}


def _replaced(tensor: Tensor, weight: Callable[[Tensor], Tensor], done: dict[int, Any]) -> Tensor:
    if id(tensor) not in done:
        done[id(tensor)] = weight(tensor)
    return done[id(tensor)]  # type: ignore[no-any-return]
