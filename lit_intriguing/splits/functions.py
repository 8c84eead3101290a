"""What a Python function computes by: its name where that says all, else its code and values."""

import dis
import hashlib
import sys
from collections.abc import Iterator
from types import CodeType, FunctionType
from typing import Any

_LOADS = {"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"}
"""Steps of Python's code that read a global name; the last since Python 3.12."""


def in_a_script(text: str) -> str:
    """Return a text with a script's own names as they are where it was started.

    A process that it spawns has them in `__mp_main__`.
    """
    return text.replace("__mp_main__", "__main__")


def module_name(thing: Any) -> str:
    """Return the module of a class or a function, the same in each process of a script."""
    return in_a_script(str(thing.__module__))


def says_all(function: Any) -> bool:
    """Return whether a function's name stands for it: an import of that name finds it.

    Names in `__main__`, a script or a notebook, may stand for something else in the next run.

    >>> says_all(says_all), says_all(lambda: 0)
    (True, False)
    """
    found: Any = sys.modules.get(function.__module__ or "")
    for name in function.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is function and module_name(function) != "__main__"


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
    """Yield the global names that code reads, which names of attributes are not."""
    yield from (step.argval for step in dis.get_instructions(code) if step.opname in _LOADS)
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
