"""What an attack's examples depend on, as values that can be compared and saved."""

import dataclasses
import functools
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lit_intriguing.attacks import Attack, Goal
from lit_intriguing.splits import functions

_NO_MATTER = {"progress"}
"""Attributes of an attack that do not change what it finds."""

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
"""What the text of an object has of its place in memory."""

_FEW = 16
"""Numbers of a tensor or an array that are written down; of more, their hash."""

Seen = dict[int, tuple[int, object]]
"""By identity the objects described so far: their numbers, and they themselves, to keep them."""


def described(thing: object) -> Any:
    """Describe an object by numbers, text, lists and mappings.

    An attack, a goal or a dataclass is its class and what it holds, to any depth, without
    attributes that begin with an underscore. So is another object whose text is an address in
    memory; others are described by their text. A function is its name, where an import of that
    name finds it; else its name, its code, and the values that it computes with.

    >>> described({"eps": 1.5, "norms": (1, 2)})
    {'eps': 1.5, 'norms': [1, 2]}
    """
    return _described(thing, {})


def _described(thing: object, seen: Seen) -> Any:
    if thing is None or isinstance(thing, bool | int | str):
        return thing
    if isinstance(thing, float):
        return thing if thing == thing and abs(thing) != float("inf") else str(thing)
    if isinstance(thing, Tensor):
        return thing.tolist() if thing.numel() <= _FEW else f"tensor {fingerprint(thing)}"
    if isinstance(thing, np.ndarray):
        return _of_an_array(thing, seen)
    if isinstance(thing, Mapping):
        return {str(key): _described(value, seen) for key, value in thing.items()}
    if isinstance(thing, set | frozenset):  # text has another order in each process
        return sorted((_described(one, seen) for one in thing), key=_for_sorting)
    if isinstance(thing, list | tuple):
        return [_described(one, seen) for one in thing]
    return _of_an_object(thing, seen)


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


def _of_an_object(thing: object, seen: Seen) -> Any:
    if isinstance(thing, FunctionType) and not functions.says_all(thing):
        return _once(thing, seen, _of_a_function)
    if isinstance(thing, MethodType) and not isinstance(thing.__self__, type):
        return {"method": _name(thing), "of": _described(thing.__self__, seen)}
    if hasattr(thing, "__qualname__"):  # a class or a function
        return _name(thing)
    if isinstance(thing, ModuleType):
        return thing.__name__
    if isinstance(thing, functools.partial):
        return _described([thing.func, thing.args, thing.keywords], seen)
    if isinstance(thing, nn.Module):
        return of_model(thing)
    if dataclasses.is_dataclass(thing):
        inside = {one.name: getattr(thing, one.name) for one in dataclasses.fields(thing)}
        return _of_values(thing, inside, seen)
    if isinstance(thing, Attack | Goal):
        return _of_values(thing, vars(thing), seen)
    return _once(thing, seen, _of_attributes) if _ADDRESS.search(repr(thing)) else repr(thing)


def _once(thing: object, seen: Seen, describe: Callable[[Any, Seen], Any]) -> Any:
    """Describe a thing where it comes first, and refer to that later: things may hold each other.

    A reference is the number of those described before.
    """
    if id(thing) in seen:
        return f"number {seen[id(thing)][0]}"
    seen[id(thing)] = len(seen), thing
    return describe(thing, seen)


def _of_a_function(function: FunctionType, seen: Seen) -> dict[str, Any]:
    return {
        "function": _name(function),
        "code": functions.hash_of(function.__code__),
        "with": _described(functions.held(function), seen),
    }


def _of_attributes(thing: object, seen: Seen) -> Any:
    """Describe an object whose text says nothing; its class alone where it holds nothing."""
    values = _of_values(thing, getattr(thing, "__dict__", {}), seen)
    return values if len(values) > 1 else class_name(thing)


def _of_values(thing: object, inside: Mapping[str, Any], seen: Seen) -> dict[str, Any]:
    values = {
        name: _described(value, seen)
        for name, value in sorted(inside.items())
        if not name.startswith("_") and name not in _NO_MATTER
    }
    return {"class": class_name(thing), **values}


def _of_an_array(array: np.ndarray[Any, Any], seen: Seen) -> Any:
    """Describe an array as tensors are; the text of a large one leaves most of it out."""
    if array.size <= _FEW or array.dtype.hasobject:
        return _described(array.tolist(), seen)
    content = f"{array.dtype} {array.shape}".encode() + array.tobytes()
    return f"array {hashlib.sha256(content).hexdigest()[:20]}"


def _for_sorting(value: Any) -> tuple[bool, Any]:
    """Put numbers first, by their size, then all else by its text."""
    number = isinstance(value, int | float)
    return not number, value if number else str(value)


def _name(thing: Any) -> str:
    return f"{thing.__module__}.{thing.__qualname__}"


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
        "structure": hashlib.sha256(_ADDRESS.sub("", str(model)).encode()).hexdigest()[:20],
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
