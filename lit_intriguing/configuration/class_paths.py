"""Class paths as written in YAML: what they name, and what was probably meant."""

import importlib
import inspect
import os
import pkgutil
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import torch
from jsonargparse import ArgumentParser
from lightning.pytorch import Callback, LightningDataModule, LightningModule
from lightning.pytorch.loggers import Logger

from lit_intriguing.attacks import Attack, Goal
from lit_intriguing.attacks.adapters.named import INSTALLED_BY
from lit_intriguing.errors import UsageError
from lit_intriguing.spelling import did_you_mean

BASES = (
    LightningModule,
    LightningDataModule,
    Callback,
    Logger,
    torch.nn.Module,
    torch.optim.Optimizer,
    torch.optim.lr_scheduler.LRScheduler,
    Attack,
    Goal,
)
"""Their imported subclasses may be named without their module."""

ROOMS = ("attacks", "callbacks", "data", "models")
"""Whose classes may be named so, and are therefore imported before a configuration is read."""


def bring_in() -> None:
    """Makes our own classes known by their bare names, and the user's own files importable."""
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # as for `python -m`
    for room in ROOMS:
        package = importlib.import_module(f"lit_intriguing.{room}")
        for name in package.__all__:
            getattr(package, name)  # which loads it, where the room is lazy


def locate(path: str) -> Any:
    """Imports what a class path names.

    Args:
        path: `package.module.Class`, or a bare class name, which is looked for among the imported
            subclasses of `BASES`.

    Returns:
        The class or function; None for a bare name that several subclasses share.

    Raises:
        UsageError: nothing has that name; the message tells the first part that is wrong and the
            nearest right spelling.
    """
    if "." in path:
        return _walk(path.split("."), path)
    found = {c for base in BASES for c in _descendants(base) if c.__name__ == path}
    if not found:
        known = {c.__name__ for base in BASES for c in _descendants(base)}
        raise UsageError(f"no class '{path}'.{did_you_mean(path, known)}")
    return found.pop() if len(found) == 1 else None


def _descendants(base: type) -> Iterator[type]:
    children: list[type] = base.__subclasses__()
    for child in children:
        yield child
        yield from _descendants(child)


def _walk(parts: list[str], path: str) -> Any:
    """Follows the path from its package to its last name."""
    thing: Any = None
    for depth, name in enumerate(parts):
        inside = ".".join(parts[:depth])
        following = _child(thing, inside, name)
        if following is None:
            after = ".".join(parts[depth + 1 :])
            whole = ".".join(p for p in (inside, "{}", after) if p)
            suggestion = did_you_mean(name, _names(thing), whole=whole)
            where = f" ({inside} has no '{name}')" if inside else _no_package(name)
            if name in INSTALLED_BY:
                suggestion = f" Install it with: {INSTALLED_BY[name]}"
            raise UsageError(f"no class or function '{path}'{where}.{suggestion}")
        thing = following
    return thing


def _no_package(name: str) -> str:
    return f" (no package or module '{name}' is installed, in this folder or on PYTHONPATH)"


def _child(thing: Any, inside: str, name: str) -> Any:
    """Returns an attribute or a submodule; None where there is neither."""
    if thing is not None and hasattr(thing, name):
        return getattr(thing, name)
    if thing is not None and not isinstance(thing, ModuleType):
        return None
    module = f"{inside}.{name}" if inside else name
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and (module == error.name or error.name in inside):
            return None
        raise UsageError(f"cannot import '{module}': {error}.") from error


def _names(thing: Any) -> set[str]:
    if thing is None:
        return {name for name in sys.modules if "." not in name and not name.startswith("_")}
    submodules = {m.name for m in pkgutil.iter_modules(getattr(thing, "__path__", []))}
    return {name for name in {*dir(thing), *submodules} if not name.startswith("_")}


def parameters(target: Any) -> set[str] | None:
    """Lists the names that a class or function takes, following `**kwargs` to where they go.

    Returns:
        The names, or None where the signature cannot be read or takes anything.
    """
    parser = ArgumentParser(exit_on_error=False)
    try:
        if inspect.isclass(target):
            added = parser.add_class_arguments(target, fail_untyped=False)
        else:
            added = parser.add_function_arguments(target, fail_untyped=False)
    except (TypeError, ValueError):
        return None
    return {name.split(".")[0] for name in added} | _own_parameters(target)


def _own_parameters(target: Any) -> set[str]:
    """Adds the parameters that jsonargparse leaves out, such as untyped positional ones."""
    try:
        return set(inspect.signature(target).parameters)
    except (TypeError, ValueError):
        return set()
