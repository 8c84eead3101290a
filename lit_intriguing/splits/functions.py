"""What a Python function computes by: its name where that says all, else its code and values."""

import hashlib
import sys
from collections.abc import Iterator
from types import CodeType, FunctionType
from typing import Any


def says_all(function: FunctionType) -> bool:
    """Return whether a function's name stands for it: an import of that name finds it.

    Names in `__main__`, a script or a notebook, may stand for something else in the next run.

    >>> says_all(says_all), says_all(lambda: 0)
    (True, False)
    """
    found: Any = sys.modules.get(function.__module__ or "")
    for name in function.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is function and function.__module__ != "__main__"


def hash_of(code: CodeType) -> str:
    """Return a hash of what code does, the same in each process of one version of Python."""
    return hashlib.sha256(_text(code).encode()).hexdigest()[:20]


def held(function: FunctionType) -> dict[str, object]:
    """Return what a function computes with beside its arguments, by name.

    That is what it closes over, the defaults of its arguments, and the global names that it uses.
    """
    code, given = function.__code__, function.__globals__
    used = {name: given[name] for name in sorted(set(_names(code))) if name in given}
    return {**used, **_enclosed(function), **_defaults(function)}


def _enclosed(function: FunctionType) -> dict[str, object]:
    found = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            found[name] = cell.cell_contents
        except ValueError:  # not assigned yet
            found[name] = None
    return found


def _defaults(function: FunctionType) -> dict[str, object]:
    code, values = function.__code__, function.__defaults__ or ()
    names = code.co_varnames[code.co_argcount - len(values) : code.co_argcount]
    return {**dict(zip(names, values, strict=True)), **(function.__kwdefaults__ or {})}


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for one in code.co_consts:
        if isinstance(one, CodeType):
            yield from _names(one)


def _text(code: CodeType) -> str:
    constants = [_constant(one) for one in code.co_consts]
    return repr((code.co_code, code.co_names, code.co_freevars, constants))


def _constant(value: object) -> str:
    """Return the text of a constant, without addresses and in an order that stays."""
    if isinstance(value, CodeType):
        return _text(value)
    return str(sorted(map(repr, value))) if isinstance(value, frozenset) else repr(value)
