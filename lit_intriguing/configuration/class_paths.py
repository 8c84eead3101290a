"""Class paths as written in YAML: what they name, and what was probably meant."""

import importlib
import inspect
import os
import sys
from collections.abc import Iterator
from typing import Any

import torch
from jsonargparse import ArgumentParser
from lightning.pytorch import Callback, LightningDataModule, LightningModule
from lightning.pytorch.loggers import Logger

from lit_intriguing import moved
from lit_intriguing.attacks import Attack, Goal
from lit_intriguing.attacks.adapters.named import INSTALLED_BY
from lit_intriguing.errors import UsageError
from lit_intriguing.lookup import NotThereError, look_up
from lit_intriguing.private.of_jsonargparse import restrict_imports
from lit_intriguing.schemes import Scheme
from lit_intriguing.spelling import did_you_mean
from lit_intriguing.trusted import check_found, check_trusted, trusted

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
    Scheme,
)
"""Their imported subclasses may be given without their module."""

ROOMS = ("attacks", "callbacks", "data", "models", "schemes")
"""Whose classes may be given so, and are therefore imported before a configuration is read."""


def bring_in() -> None:
    """Make our own classes known by their bare names, and the user's own files importable."""
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # as for `python -m`
    restrict_imports(trusted())
    for room in ROOMS:
        package = importlib.import_module(f"lit_intriguing.{room}")
        for name in package.__all__:
            getattr(package, name)  # which loads it, where the room is lazy


def locate(path: str) -> Any:
    """Import what a class path names.

    Args:
        path: `package.module.Class`, or a bare class name, which is looked for among the imported
            subclasses of `BASES`.

    Returns:
        The class or function; None for a bare name that several subclasses share.

    Raises:
        UsageError: Nothing has that name, or it cannot be imported; the message gives the first
            part that is wrong and the nearest right spelling.
    """
    if "." in path:
        return _located(path)
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


def _located(path: str) -> Any:
    """Look a dotted path up; what is wrong with it is said with the nearest right spelling."""
    moved.refuse(path)
    check_trusted(path)
    try:
        thing = look_up(path)
    except NotThereError as error:
        inside, name = error.inside, error.name
        where = f" ({inside} has no '{name}')" if inside else _no_package(name)
        if name in INSTALLED_BY:
            way_out = f" Install it with: {INSTALLED_BY[name]}"
        else:
            whole = ".".join(part for part in (inside, "{}", error.after) if part)
            way_out = did_you_mean(name, error.known, whole=whole)
        raise UsageError(f"no class or function '{path}'{where}.{way_out}") from error
    except ImportError as error:
        raise UsageError(str(error)) from error
    check_found(path, thing)
    return thing


def _no_package(name: str) -> str:
    return f" (no package or module '{name}' is installed, in this folder or on PYTHONPATH)"


def parameters(target: Any) -> set[str] | None:
    """Return the names that a class or function takes, following `**kwargs` to where they go.

    Returns:
        The names; None where the signature cannot be read or takes anything.
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
    """Return the parameters that jsonargparse leaves out, such as untyped positional ones."""
    try:
        return set(inspect.signature(target).parameters)
    except (TypeError, ValueError):
        return set()
