"""Attacks of other libraries by class path or object, and libraries that are not installed."""

import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from lit_intriguing.errors import UserError
from lit_intriguing.spelling import did_you_mean
from lit_intriguing.trusted import check_found, check_trusted

Named = str | dict[str, Any] | Callable[..., Any]
"""A class path, one with `init_args`, or the Python object itself."""

INSTALLED_BY = {
    "adv_lib": "pip install 'lit-intriguing[adversarial-library]'",
    "foolbox": "pip install 'lit-intriguing[foolbox]'",
    "pyautoattack": "pip install 'lit-intriguing[autoattack]'",
    "torchattacks": "pip install --no-deps torchattacks",
    "wandb_workspaces": "pip install 'lit-intriguing[dashboard]'",
}
"""The command that installs a package, where it is not the package's own name."""


class MissingLibraryError(UserError, ImportError):
    """A library that is not installed; the message says how to install it."""


@dataclass(frozen=True)
class Choice:
    """A class, function or object of another library, and the options to call it with."""

    target: Any
    options: dict[str, Any] = field(default_factory=dict)


def chosen(attack: object, options: Mapping[str, Any] | None = None) -> Choice:
    """Return what `attack` names.

    Args:
        attack: A class path, a mapping with `class_path` and `init_args`, or an object.
        options: More arguments to call it with.

    Raises:
        MissingLibraryError: If the library is not there.
        ValueError: If it is there, but has no such name, or the mapping is not as above.
    """
    if isinstance(attack, str):
        return Choice(_located(attack), dict(options or {}))
    if not isinstance(attack, Mapping):
        return Choice(attack, dict(options or {}))
    strange = sorted(set(attack) - {"class_path", "init_args"})
    if strange or not isinstance(attack.get("class_path"), str):
        raise ValueError(
            "Write an attack of another library with class_path and init_args, not with "
            f"{sorted(attack)}."
        )
    given = {**(attack.get("init_args") or {}), **(options or {})}
    return Choice(_located(attack["class_path"]), given)


def check_options(function: Callable[..., object], options: Mapping[str, object]) -> None:
    """Raise where `function` does not take an option.

    Raises:
        ValueError: With the nearest right spelling.
    """
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):  # compiled, or no signature
        return
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()):
        return
    for name in options:
        if name not in parameters:
            called = getattr(function, "__qualname__", str(function))
            raise ValueError(f"{called} has no option {name!r}.{did_you_mean(name, parameters)}")


def library(name: str) -> ModuleType:
    """Import a top-level package.

    Raises:
        MissingLibraryError: If it is not installed; anything else that fails is left as it is.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        how = f" Install it with: {INSTALLED_BY[name]}" if name in INSTALLED_BY else ""
        raise MissingLibraryError(f"{name} is not installed.{how}") from error


def _located(path: str) -> Any:
    check_trusted(path)
    top, *parts = path.split(".")
    thing: Any = library(top)
    for depth, part in enumerate(parts, 1):
        if not hasattr(thing, part):
            _import_submodule(".".join([top, *parts[:depth]]))
        if not hasattr(thing, part):
            inside = ".".join([top, *parts[: depth - 1]])
            hint = did_you_mean(part, dir(thing), whole=f"{inside}.{{}}")
            raise ValueError(f"no attack {path!r}: {inside} has no {part!r}.{hint}")
        thing = getattr(thing, part)
    check_found(path, thing)
    return thing


def _import_submodule(path: str) -> None:
    try:
        importlib.import_module(path)
    except ModuleNotFoundError as error:
        if error.name is None or not path.startswith(error.name):
            raise
