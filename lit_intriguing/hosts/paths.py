"""Entries of batches and outputs: keys, positions, fields, attributes, and paths of these."""

import copy
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

Key = int | str
"""A key, position, field or attribute, or a path of these joined by dots, such as `d.0`."""

_ABSENT = object()


class PathError(LookupError):
    """A value has nothing at a path."""


def is_container(batch: object) -> bool:
    """Return whether a value is a sequence, a mapping or like one, or a dataclass."""
    return (
        isinstance(batch, Mapping)
        or _is_dataclass(batch)
        or is_positional(batch)
        or (_has_keys(batch))
    )


def is_positional(batch: object) -> bool:
    """Return whether a value is a sequence, whose entries go by their positions."""
    return isinstance(batch, Sequence) and not isinstance(batch, str | bytes)


def entries(batch: Any) -> dict[Key, Any]:
    """Return the entries of a batch by their keys, field names or positions."""
    if isinstance(batch, Mapping):
        return dict(batch)
    if _has_keys(batch):
        return {key: batch[key] for key in _keys(batch)}
    if _is_dataclass(batch):
        return {one.name: getattr(batch, one.name) for one in dataclasses.fields(batch)}
    return dict(enumerate(batch))


def members(value: Any) -> dict[Key, Any]:
    """Return the entries of a container, a named tuple's by its fields; of others none.

    >>> members((4, 5)), members(7)
    ({0: 4, 1: 5}, {})
    """
    if not is_container(value):
        return {}
    there = entries(value)
    return dict(zip(getattr(value, "_fields", there), there.values(), strict=True))


def with_entries(batch: Any, new: Mapping[Key, Any]) -> Any:
    """Return a batch of the same kind with some entries replaced; leave `batch` alone."""
    if isinstance(batch, tuple):
        values = [new.get(position, entry) for position, entry in enumerate(batch)]
        return type(batch)(*values) if hasattr(batch, "_fields") else tuple(values)
    changed = copy.copy(batch)
    for key, entry in new.items():
        if _is_dataclass(batch) and not isinstance(batch, Mapping):
            object.__setattr__(changed, str(key), entry)  # also of a frozen one
        elif isinstance(batch, list | dict) or is_container(batch):
            changed[key] = entry
        else:
            setattr(changed, str(key), entry)
    return changed


def leaves(batch: Any) -> dict[Key, Any]:
    """Return what a container holds, by path; containers of tensors are entered at any depth.

    >>> import torch
    >>> list(leaves(({"x": torch.zeros(1), "names": ["a", "b"]}, 3)))
    ['0.x', '0.names', 1]
    """
    found: dict[Key, Any] = {}
    for key, entry in entries(batch).items():
        if _holds_tensors(entry):
            found |= {f"{key}.{path}": leaf for path, leaf in leaves(entry).items()}
        else:
            found[key] = entry
    return found


def follow(value: Any, path: Key) -> Any:
    """Return what stands at a path.

    Raises:
        PathError: If nothing does.

    >>> follow({"d": [4, 5], "a.b": 6}, "d.1"), follow({"d": [4, 5], "a.b": 6}, "a.b")
    (5, 6)
    """
    if _is_plain(value, path):
        return value[path]
    for key in _steps(value, path):
        value = _member(value, key)
    return value


def with_leaf(value: Any, path: Key, new: Any) -> Any:
    """Return a value of the same kind with another one at a path; leave `value` alone.

    Raises:
        PathError: If nothing stands there.

    >>> with_leaf(({"x": 1}, 2), "0.x", 9)
    ({'x': 9}, 2)
    """
    steps = [path] if _is_plain(value, path) else _steps(value, path)
    return _put(value, steps, new)


def from_front(key: Key, batch: Any) -> Key:
    """Return a position counted from the front, also for the name of a named tuple's field."""
    if key in getattr(batch, "_fields", ()):
        return int(batch._fields.index(key))
    if isinstance(key, int) and is_positional(batch) and -len(batch) <= key < 0:
        return key + len(batch)
    return key


def _is_plain(value: Any, path: Key) -> bool:
    """Return whether a path is an index of a common container, as most are: found at once."""
    kind = type(value)
    if kind is tuple or kind is list:
        return type(path) is int and 0 <= path < len(value)
    return kind is dict and path in value


def _put(value: Any, steps: Sequence[Key], new: Any) -> Any:
    if not steps:
        return new
    first, rest = steps[0], steps[1:]
    return with_entries(value, {first: _put(_member(value, first), rest, new) if rest else new})


def _steps(value: Any, path: Key) -> list[Key]:
    """Return the keys on the way to a path's end; a key with dots of its own comes first."""
    steps = _find(value, path)
    if steps is None:
        raise PathError(f"nothing stands at {path!r}; there is {list(members(value))}.")
    return steps


def _find(value: Any, path: Key) -> list[Key] | None:
    for head, rest in _cuts(path):
        for key in _readings(head, value):
            inside = _member(value, key)
            if inside is _ABSENT:
                continue
            after = [] if rest is None else _find(inside, rest)
            if after is not None:
                return [key, *after]
    return None


def _cuts(path: Key) -> list[tuple[Key, str | None]]:
    """Return the ways to part a path into a key and the rest, the longest key first.

    >>> _cuts("a.b.c")
    [('a.b.c', None), ('a.b', 'c'), ('a', 'b.c')]
    """
    parts = path.split(".") if isinstance(path, str) else []
    inner = range(len(parts) - 1, 0, -1)
    return [(path, None), *((".".join(parts[:k]), ".".join(parts[k:])) for k in inner)]


def _readings(key: Key, value: Any) -> list[Key]:
    whole = isinstance(key, str) and key.lstrip("-").isdecimal()
    return [from_front(one, value) for one in ([key, int(key)] if whole else [key])]


def _member(value: Any, key: Key) -> Any:
    if is_container(value):
        there = entries(value).get(key, _ABSENT)
        if there is not _ABSENT or not isinstance(key, int) or is_positional(value):
            return there
        return _indexed(value, key)
    if isinstance(value, Tensor) or not isinstance(key, str) or key.startswith("_"):
        return _ABSENT
    return getattr(value, key, _ABSENT)


def _indexed(value: Any, index: int) -> Any:
    """Return what an index gives, as of transformers' outputs, which have keys too."""
    try:
        return value[index]
    except (LookupError, TypeError):
        return _ABSENT


def _holds_tensors(value: Any) -> bool:
    return is_container(value) and any(
        isinstance(entry, Tensor) or _holds_tensors(entry) for entry in entries(value).values()
    )


def _has_keys(batch: object) -> bool:
    """Return whether a value is like a mapping, without being one: a batch of graphs, say."""
    if isinstance(batch, type | Tensor | str) or _is_dataclass(batch):
        return False
    return all(hasattr(batch, name) for name in ("keys", "__getitem__", "__setitem__"))


def _keys(batch: Any) -> list[Key]:
    return list(batch.keys() if callable(batch.keys) else batch.keys)


def _is_dataclass(batch: object) -> bool:
    return dataclasses.is_dataclass(batch) and not isinstance(batch, type)
