"""One look-up of what a dotted path names, a class, a function or a module."""

import importlib
import pkgutil
import sys
from types import ModuleType
from typing import Any


class NotThereError(LookupError):
    """A name that a path goes through and that is not there.

    Attributes:
        inside: The part of the path that was found; empty where its package is missing.
        name: The first name that was not.
        after: What follows it.
        known: The names that there are instead.
    """

    def __init__(self, inside: str, name: str, after: str, known: set[str]) -> None:
        super().__init__(f"{inside} has no '{name}'" if inside else f"no package '{name}'")
        self.inside, self.name, self.after, self.known = inside, name, after, known


def look_up(path: str) -> Any:
    """Import what a dotted path names.

    Args:
        path: `package.module.Class`.

    Returns:
        The class, function, module or whatever else stands there.

    Raises:
        NotThereError: Some name of it is not there.
        ImportError: A module is there and cannot be imported.

    >>> look_up("collections.abc.Mapping").__name__
    'Mapping'
    """
    thing: Any = None
    parts = path.split(".")
    for depth, name in enumerate(parts):
        inside = ".".join(parts[:depth])
        if thing is not None and hasattr(thing, name):
            thing = getattr(thing, name)
            continue
        module = None
        if thing is None or isinstance(thing, ModuleType):
            module = _submodule(inside, name)
        if module is None:
            raise NotThereError(inside, name, ".".join(parts[depth + 1 :]), _names(thing))
        thing = module
    return thing


def _submodule(inside: str, name: str) -> ModuleType | None:
    module = f"{inside}.{name}" if inside else name
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and (module == error.name or error.name in inside):
            return None
        raise ImportError(f"cannot import '{module}': {error}.") from error


def _names(thing: Any) -> set[str]:
    if thing is None:
        return {name for name in sys.modules if "." not in name and not name.startswith("_")}
    submodules = {m.name for m in pkgutil.iter_modules(getattr(thing, "__path__", []))}
    return {name for name in {*dir(thing), *submodules} if not name.startswith("_")}
