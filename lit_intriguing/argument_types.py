"""Arguments of public constructors, compared with their annotations at once.

A wrong type would otherwise show itself later, in an error from inside torch or Lightning.
"""

import functools
import inspect
import types
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral, Real
from os import PathLike
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

_LIMIT = 2**63
"""Of whole numbers in torch."""
Class = TypeVar("Class", bound=type[Any])


def checked_arguments(kind: Class) -> Class:
    """Have a class refuse arguments of another type than its constructor's annotations.

    A whole number counts as a number, one of NumPy too; true and false are no numbers. What an
    annotation of another kind wants is left to the constructor. Not for LightningModules, whose
    `save_hyperparameters` looks at the call of the constructor.

    Args:
        kind: The class, changed in place; its constructor then raises `ValueError` with the name of
            the argument, and with an example where the class has `example_arguments` of that name.

    Examples:
        >>> @checked_arguments
        ... class Attack:
        ...     def __init__(self, eps: float) -> None: ...
        >>> Attack("0.3")
        Traceback (most recent call last):
        ValueError: Attack: eps must be a number, not '0.3'.
    """
    build: Callable[..., None] = kind.__init__
    signature = inspect.signature(build)

    @functools.wraps(build)
    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        given = signature.bind(self, *args, **kwargs).arguments
        for name, wanted in _annotations(build).items():
            if name in given and not _fits(given[name], wanted):
                example = getattr(kind, "example_arguments", {}).get(name)
                raise ValueError(
                    f"{kind.__name__}: {name} must be {_in_words(wanted)}, "
                    f"not {_shown(given[name])}.{f' For example {example}.' if example else ''}"
                )
        build(self, *args, **kwargs)

    kind.__init__ = init
    return kind


@functools.cache
def _annotations(build: Callable[..., None]) -> dict[str, Any]:
    found = get_type_hints(build)
    several = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return {
        name: found[name]
        for name, one in inspect.signature(build).parameters.items()
        if name in found and one.kind not in several
    }


def _fits(value: Any, wanted: Any) -> bool:
    """Return whether a value is of a type; true where the annotation is of a kind not known."""
    origin, inner = get_origin(wanted), get_args(wanted)
    if wanted is Any or isinstance(wanted, TypeVar):
        return True
    if wanted is None or wanted is type(None):
        return value is None
    if origin in (Union, types.UnionType):
        return any(_fits(value, one) for one in inner)
    if origin is Literal:
        return any(type(value) is type(one) for one in inner)  # which of them, the class knows
    if wanted is float:
        return isinstance(value, Real) and not isinstance(value, bool)
    if wanted is int:
        whole = isinstance(value, Integral) and not isinstance(value, bool)
        return whole and -_LIMIT <= value < _LIMIT
    if origin is type:
        return isinstance(value, type)
    if origin is None:
        return isinstance(value, wanted) if isinstance(wanted, type) else True
    if not isinstance(origin, type):
        return True
    return isinstance(value, origin) and _holds(value, origin, inner)


def _holds(value: Any, origin: type, inner: tuple[Any, ...]) -> bool:
    """Return whether what a container holds fits too; a text is no list."""
    if issubclass(origin, Mapping):
        return all(_fits(k, inner[0]) and _fits(v, inner[1]) for k, v in value.items())
    if origin is tuple and not (len(inner) == 2 and inner[1] is Ellipsis):
        return len(value) == len(inner) and all(map(_fits, value, inner))
    if issubclass(origin, Sequence):
        return not isinstance(value, str) and all(_fits(one, inner[0]) for one in value)
    return True


def _in_words(wanted: Any) -> str:
    origin, inner = get_origin(wanted), get_args(wanted)
    if origin in (Union, types.UnionType):
        paths = (Path, PathLike)
        kinds = [_in_words(one) for one in inner if not (str in inner and one in paths)]
        return " or ".join(dict.fromkeys(kinds))
    if origin is Literal:
        return " or ".join(map(repr, inner))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return f"a mapping, each value {_in_words(inner[1])}"
    if isinstance(origin, type) and issubclass(origin, Sequence):
        return "a list of names" if inner[0] is str else f"a list, each {_in_words(inner[0])}"
    if origin is Callable or origin is type or "Callable" in str(origin):
        return "a function or class"
    known = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}
    if wanted in (None, type(None)):
        return "None"
    return known.get(wanted) or f"of type {getattr(wanted, '__name__', wanted)}"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 and " at 0x" not in text else f"a {type(value).__name__}"
