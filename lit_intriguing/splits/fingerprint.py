"""What an attack's examples depend on, as values that can be compared and saved."""

import dataclasses
import functools
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lit_intriguing.attacks import Attack, Goal

_NO_MATTER = {"progress"}
"""Attributes of an attack that do not change what it finds."""


def described(thing: object) -> Any:
    """Describe an object by numbers, text, lists and mappings.

    An attack, a goal or a dataclass is its class and what it holds, to any depth, without
    attributes that begin with an underscore. Other objects are described by their text, or by their
    class alone where the text is an address in memory.

    >>> described({"eps": 1.5, "norms": (1, 2)})
    {'eps': 1.5, 'norms': [1, 2]}
    """
    if thing is None or isinstance(thing, bool | int | str):
        return thing
    if isinstance(thing, float):
        return thing if thing == thing and abs(thing) != float("inf") else str(thing)
    if isinstance(thing, Tensor):
        return thing.tolist() if thing.numel() <= 16 else f"tensor {fingerprint(thing)}"
    if isinstance(thing, Mapping):
        return {str(key): described(value) for key, value in thing.items()}
    if isinstance(thing, list | tuple | set):
        return [described(one) for one in thing]
    return _of_an_object(thing)


def described_job(
    job: object, model: nn.Module, source: object, names: Iterable[str]
) -> dict[str, Any]:
    """Describe a model, where the images come from, and what was asked for, as plain values.

    Args:
        job: Has an attribute of each name.
        model: With its weights loaded.
        source: The data module, or the model that gives the data.
        names: What matters of the job.
    """
    asked = {name: described(getattr(job, name)) for name in names}
    return {"model": of_model(model), "data": class_name(source), **asked}


def _of_an_object(thing: object) -> Any:
    if hasattr(thing, "__qualname__"):  # a class or a function
        return f"{thing.__module__}.{thing.__qualname__}"
    if isinstance(thing, functools.partial):
        return described([thing.func, thing.args, thing.keywords])
    if isinstance(thing, nn.Module):
        return of_model(thing)
    if dataclasses.is_dataclass(thing):
        inside = {one.name: getattr(thing, one.name) for one in dataclasses.fields(thing)}
    elif isinstance(thing, Attack | Goal):
        inside = vars(thing)
    else:
        return class_name(thing) if " at 0x" in repr(thing) else repr(thing)
    values = {
        name: described(value)
        for name, value in sorted(inside.items())
        if not name.startswith("_") and name not in _NO_MATTER
    }
    return {"class": class_name(thing), **values}


def class_name(thing: object) -> str:
    """Return the name of an object's class, with its module.

    >>> class_name(nn.ReLU())
    'torch.nn.modules.activation.ReLU'
    """
    return f"{type(thing).__module__}.{type(thing).__qualname__}"


def fingerprint(*tensors: Tensor) -> str:
    """Return a hash of the values, shapes and dtypes of tensors."""
    digest = hashlib.sha256()
    for tensor in tensors:
        whole = tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor  # FSDP2's shards
        digest.update(f"{whole.dtype} {tuple(whole.shape)}".encode())
        content: Any = whole.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
        digest.update(content)
    return digest.hexdigest()[:20]


def of_model(model: nn.Module) -> dict[str, str]:
    """Return a model's class, and hashes of its structure and its weights."""
    state = {name: value for name, value in model.state_dict().items() if isinstance(value, Tensor)}
    return {
        "class": class_name(model),
        "structure": hashlib.sha256(str(model).encode()).hexdigest()[:20],
        "weights": fingerprint(*(state[name] for name in sorted(state))),
    }


def differences(before: Any, now: Any, place: str = "") -> Iterator[str]:
    """Yield the name of each value in which two descriptions differ, with both values.

    >>> list(differences({"attack": {"eps": 1}, "seed": 0}, {"attack": {"eps": 2}, "seed": 0}))
    ['attack.eps 1 -> 2']
    """
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for key in sorted({*before, *now}):
            inner = f"{place}.{key}" if place else key
            yield from differences(before.get(key), now.get(key), inner)
    elif before != now:
        yield f"{place} {before} -> {now}"
