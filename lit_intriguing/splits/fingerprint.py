"""What an attack's examples depend on, as values that can be compared and saved."""

import dataclasses
import functools
import hashlib
import itertools
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from types import (
    BuiltinMethodType,
    FunctionType,
    MemberDescriptorType,
    MethodType,
    MethodWrapperType,
    ModuleType,
)
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lit_intriguing.attacks import Attack, Goal
from lit_intriguing.private.of_torch import before_compilation
from lit_intriguing.splits import functions

_NO_MATTER = {"progress"}
"""Attributes of an attack that do not change what it finds."""

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
"""What the text of an object has of its place in memory."""

_FEW = 16
"""Numbers of a tensor or an array that are written down; of more, their hash."""

_DEEP = 50
"""Levels of things in things; what lies deeper is its class, before Python's stack is full."""

_MANY = 10_000
"""Functions and objects that are described in full, however often one comes: see `_once`."""


@dataclasses.dataclass(frozen=True)
class _Way:
    """How a description has come to a thing.

    Attributes:
        whole: See `described`.
        above: The identities of what the thing lies in, from the outside.
        before: By identity the functions and objects so far: their numbers, and they themselves,
            to keep them.
        steps: Counts these, each as often as it comes.
    """

    whole: bool
    above: tuple[int, ...] = ()
    before: dict[int, tuple[int, object]] = dataclasses.field(default_factory=dict)
    steps: Iterator[int] = dataclasses.field(default_factory=itertools.count)

    def into(self, thing: object) -> "_Way":
        """Return the way to what lies in a thing."""
        return dataclasses.replace(self, above=(*self.above, id(thing)))


def described(thing: object, whole: bool = False) -> Any:
    """Describe an object by numbers, text, lists and mappings.

    An attack, a goal or a dataclass is its class and what it holds, to any depth, without
    attributes that begin with an underscore. So is another object whose text is an address in
    memory, with these; others are described by their text. A function is its name, where an import
    of that name finds it; else its name, its code, and the values that it computes with. What lies
    in itself is told by how far above it is. What cannot be described is its class.

    Args:
        thing: Any.
        whole: Whether modules, and objects with a text of their own, are described by their
            attributes too, and an object that shows nothing by its identity. This tells apart what
            lives in one process; stored results are named without it.

    >>> described({"eps": 1.5, "norms": (1, 2)})
    {'eps': 1.5, 'norms': [1, 2]}
    """
    return _described(thing, _Way(whole))


def _described(thing: object, way: _Way) -> Any:
    try:
        return _of_a_value(thing, way)
    except Exception:  # the object's own code ran, such as its __repr__
        return class_name(thing)


def _of_a_value(thing: object, way: _Way) -> Any:
    if thing is None or isinstance(thing, bool | int | str):
        return thing
    if isinstance(thing, float):
        return thing if thing == thing and abs(thing) != float("inf") else str(thing)
    if isinstance(thing, Tensor):
        few = thing.numel() <= _FEW
        return _numbers(thing.tolist()) if few else f"tensor {fingerprint(thing)}"
    if id(thing) in way.above:
        return f"the one {len(way.above) - way.above.index(id(thing))} levels above"
    return class_name(thing) if len(way.above) >= _DEEP else _of_contents(thing, way.into(thing))


def _of_contents(thing: object, way: _Way) -> Any:
    if isinstance(thing, np.ndarray):
        return _of_an_array(thing, way)
    if isinstance(thing, Mapping):
        return _of_a_mapping(thing, way)
    if isinstance(thing, set | frozenset):  # text has another order in each process
        return sorted((_described(one, way) for one in thing), key=_for_sorting)
    if isinstance(thing, list | tuple):
        return [_described(one, way) for one in thing]
    return _of_an_object(thing, way)


def _numbers(value: Any) -> Any:
    """Return a tensor's numbers, as text those that JSON has not and those that equal nothing.

    Infinite ones stay: results are stored under bounds that have them.
    """
    if isinstance(value, list):
        return [_numbers(one) for one in value]
    return str(value) if isinstance(value, complex) or value != value else value


def _of_a_mapping(mapping: Mapping[Any, Any], way: _Way) -> Any:
    """Describe a mapping by its keys' text, or as pairs where that is an address in memory."""
    if any(_ADDRESS.search(str(key)) for key in mapping):
        return [[_described(key, way), _described(value, way)] for key, value in mapping.items()]
    return {str(key): _described(value, way) for key, value in mapping.items()}


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


def _of_an_object(thing: object, way: _Way) -> Any:
    if isinstance(thing, torch.jit.ScriptFunction):
        return _of_a_script_function(thing)
    if isinstance(thing, FunctionType) and not functions.says_all(thing):
        return _once(thing, way, _of_a_function)
    if isinstance(thing, _METHODS) and _is_of_an_object(thing):
        return {"method": _name(thing), "of": _described(thing.__self__, way)}
    if hasattr(thing, "__qualname__"):  # a class or a function
        return _of_a_wrapper(thing, way) if _wraps(thing) else _name(thing)
    if isinstance(thing, ModuleType):
        return thing.__name__
    if isinstance(thing, functools.partial):
        return _described([thing.func, thing.args, thing.keywords], way)
    if isinstance(thing, nn.Module):
        return _once(thing, way, _of_a_whole_model) if way.whole else of_model(thing)
    if dataclasses.is_dataclass(thing):
        inside = {one.name: getattr(thing, one.name) for one in dataclasses.fields(thing)}
        return _of_values(thing, _public(inside), way)
    if isinstance(thing, Attack | Goal):
        return _of_values(thing, _public(vars(thing)), way)
    return _of_text(thing, way)


def _of_text(thing: object, way: _Way) -> Any:
    text = repr(thing)
    if _ADDRESS.search(text):
        return _once(thing, way, _of_attributes)
    if way.whole and _attributes(thing):
        return {"text": text, "object": _once(thing, way, _of_attributes)}
    return text


def _of_a_whole_model(model: nn.Module, way: _Way) -> dict[str, Any]:
    """Describe a model, and what it computes by that its weights and its text need not show.

    The attributes that its parts hold beside these, save private ones, where torch and Lightning
    keep what is theirs.
    """
    inside = [
        [name, _described(value, way)]
        for part in model.modules()
        for name, value in sorted(_public(vars(part)).items())
        if name != "training"
    ]
    return {**of_model(model), "inside": inside}


_METHODS = (MethodType, BuiltinMethodType, MethodWrapperType)


def _is_of_an_object(method: Any) -> bool:
    """Return whether a method or a builtin function belongs to an object, not a type or a module.

    Functions of compiled extensions belong to an object as well, but name their module.
    """
    of_a_module = not isinstance(method, MethodType) and getattr(method, "__module__", None)
    return not of_a_module and not isinstance(method.__self__, type | ModuleType | None)


def _once(thing: object, way: _Way, describe: Callable[[Any, _Way], Any]) -> Any:
    """Describe a thing wherever it comes, as another with the same values would be.

    After very many steps, one that came before is told by its number there: things that all hold
    each other, such as the parts of a Trainer, would be described on all ways between them.
    """
    if next(way.steps) >= _MANY and id(thing) in way.before:
        return f"number {way.before[id(thing)][0]}"
    way.before.setdefault(id(thing), (len(way.before), thing))
    return describe(thing, way)


def _of_a_function(function: FunctionType, way: _Way) -> Any:
    original = before_compilation(function)
    if original is not function:
        return _described(original, way)
    return {
        "function": _name(function),
        "code": functions.hash_of(function.__code__),
        "with": _described(functions.held(function), way),
    }


def _of_a_script_function(function: Any) -> dict[str, Any]:
    """Describe a function in TorchScript, whose code has the values that it closed over."""
    return {
        "function": function.name,
        "script": hashlib.sha256(function.code.encode()).hexdigest()[:20],
    }


def _wraps(thing: object) -> bool:
    """Return whether a thing only bears the name of what it wraps, as `lru_cache` makes them."""
    named = isinstance(thing, type | FunctionType | MethodType)
    return not named and hasattr(thing, "__wrapped__") and not functions.says_all(thing)


def _of_a_wrapper(thing: Any, way: _Way) -> Any:
    return {"wrapped": _described(thing.__wrapped__, way), "by": _once(thing, way, _of_attributes)}


def _of_attributes(thing: object, way: _Way) -> Any:
    """Describe an object whose text says nothing; its class alone where it holds nothing."""
    inside = {name: one for name, one in _attributes(thing).items() if not name.startswith("__")}
    values = _of_values(thing, inside, way)
    if isinstance(thing, Collection):  # such as a deque
        values["holds"] = [_described(one, way) for one in thing]
    if len(values) > 1:
        return values
    return f"{class_name(thing)} {id(thing)}" if way.whole else class_name(thing)


def _attributes(thing: object) -> dict[str, Any]:
    """Return an object's attributes, those in `__slots__` too."""
    slots = {
        name: getattr(thing, name)
        for kind in type(thing).__mro__
        for name, one in vars(kind).items()
        if isinstance(one, MemberDescriptorType) and hasattr(thing, name)
    }
    return {**slots, **getattr(thing, "__dict__", {})}


def _public(inside: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in inside.items() if not name.startswith("_")}


def _of_values(thing: object, inside: Mapping[str, Any], way: _Way) -> dict[str, Any]:
    values = {
        name: _described(value, way)
        for name, value in sorted(inside.items())
        if name not in _NO_MATTER
    }
    return {"class": class_name(thing), **values}


def _of_an_array(array: np.ndarray[Any, Any], way: _Way) -> Any:
    """Describe an array as tensors are; the text of a large one leaves most of it out."""
    if array.size <= _FEW or array.dtype.hasobject:
        return _described(array.tolist(), way)
    content = f"{array.dtype} {array.shape}".encode() + array.tobytes()
    return f"array {hashlib.sha256(content).hexdigest()[:20]}"


def _for_sorting(value: Any) -> tuple[bool, Any]:
    """Put numbers first, by their size, then all else by its text."""
    number = isinstance(value, int | float)
    return not number, value if number else str(value)


def _name(thing: Any) -> str:
    # Methods of builtin types have no module, but a type.
    place = thing if hasattr(thing, "__module__") else thing.__objclass__
    return f"{functions.module_name(place)}.{thing.__qualname__}"


def class_name(thing: object) -> str:
    """Return the name of an object's class, with its module.

    >>> class_name(nn.ReLU())
    'torch.nn.modules.activation.ReLU'
    """
    return f"{functions.module_name(type(thing))}.{type(thing).__qualname__}"


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
        "structure": hashlib.sha256(_text(model).encode()).hexdigest()[:20],
        "weights": fingerprint(*(state[name] for name in sorted(state))),
    }


def _text(model: nn.Module) -> str:
    """Return a model's text, the same in each process."""
    return functions.in_a_script(_ADDRESS.sub("", str(model)))


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
