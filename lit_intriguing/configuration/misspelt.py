"""Finds the typo in a configuration: the first key or class path that means nothing."""

import dataclasses
import types
import typing
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import yaml
from jsonargparse import ArgumentParser

from lit_intriguing.configuration import class_paths
from lit_intriguing.errors import UsageError
from lit_intriguing.spelling import did_you_mean

SPEC_KEYS = frozenset({"class_path", "init_args", "dict_kwargs"})
CLASSES = frozenset(
    {
        "model",
        "data",
        "optimizer",
        "lr_scheduler",
        "trainer.callbacks",
        "trainer.logger",
        "attack",
        "goal",
    }
)
"""Keys of which a bare text, also in a list, is a class path."""


def keys_of(parser: ArgumentParser) -> list[str]:
    """Lists the keys that a parser takes, dotted: `trainer.max_epochs`, `model`."""
    return [action.dest for action in parser._actions if not action.dest.endswith("help")]


def check(
    config: Mapping[str, Any], known: Collection[str], hints: Mapping[str, Any] | None = None
) -> None:
    """Checks each key and class path of a configuration against what they may be.

    It checks names only, no values: those are the parser's work.

    Args:
        config: the content of a configuration file.
        known: the keys that may stand in it, as from `keys_of`.
        hints: types of keys that hold dataclasses, or dictionaries of such.

    Raises:
        UsageError: a name is wrong; the message gives the nearest right one.
    """
    _Checker(frozenset(known), hints or {}).group(config, "")


@dataclasses.dataclass(frozen=True)
class _Checker:
    known: frozenset[str]
    hints: Mapping[str, Any]

    def group(self, config: Mapping[str, Any], prefix: str) -> None:
        """Checks the keys of one group of the program's options, such as `trainer`."""
        siblings = {k[len(prefix) :].split(".")[0] for k in self.known if k.startswith(prefix)}
        for written, value in config.items():
            name = str(written).removesuffix("+")
            key = prefix + name
            if name not in siblings:
                raise UsageError(_unknown_key(key, name, siblings, prefix))
            if key in CLASSES:
                self.class_or_path(value, key)
            elif isinstance(value, Mapping) and any(k.startswith(key + ".") for k in self.known):
                self.group(value, key + ".")
            else:
                self.value(value, key, self.hints.get(key))

    def class_or_path(self, value: Any, key: str) -> None:
        """Checks a class given with its arguments, by its name alone, or by a file's name."""
        if isinstance(value, str):
            value = _parsed(value)
        if isinstance(value, list):
            for index, item in enumerate(value):
                self.class_or_path(item, f"{key}[{index}]")
        elif not isinstance(value, str):
            self.value(value, key, None)
        elif not value.endswith((".yaml", ".yml", ".json")):
            self.spec({"class_path": value}, key)

    def value(self, value: Any, key: str, hint: Any) -> None:
        """Checks whatever stands at a key: a class with its arguments or by its name, a list."""
        if isinstance(value, list):
            for index, item in enumerate(value):
                self.value(item, f"{key}[{index}]", hint)
        elif isinstance(value, Mapping) and "class_path" in value:
            self.spec(value, key)
        elif isinstance(value, Mapping):
            self.mapping(value, key, hint)
        elif isinstance(value, str) and _is_class_path(hint):
            self.class_or_path(value, key)

    def spec(self, spec: Mapping[str, Any], key: str) -> None:
        """Checks `class_path` and the arguments given for that class."""
        try:
            target = class_paths.locate(str(spec["class_path"]))
        except UsageError as error:
            raise UsageError(f"{key}: {error}") from error
        if target is None:
            return
        given = {k: v for k, v in spec.items() if k not in SPEC_KEYS}
        self.arguments(given, key, target, extra=SPEC_KEYS)
        if isinstance(spec.get("init_args"), Mapping):
            self.arguments(spec["init_args"], f"{key}.init_args", target)

    def arguments(
        self,
        given: Mapping[str, Any],
        key: str,
        target: Any,
        extra: frozenset[str] = frozenset(),
    ) -> None:
        """Checks the arguments for a class or function, by name and then inside."""
        names = class_paths.parameters(target)
        if names is None:
            return
        hints = _hints(target)
        for written, value in given.items():
            name = str(written).removesuffix("+")
            if name not in names:
                owner = getattr(target, "__name__", str(target))
                suggestion = did_you_mean(name, names | extra)
                raise UsageError(f"{key}: {owner} has no parameter '{name}'.{suggestion}")
            self.value(value, f"{key}.{name}", hints.get(name))

    def mapping(self, value: Mapping[str, Any], key: str, hint: Any) -> None:
        """Checks a dictionary that is a dataclass's arguments, or holds such dictionaries."""
        for dataclass in _dataclasses(hint):
            self.arguments(value, key, dataclass)
            return
        for name, item in value.items():
            shown = str(name) or "''"  # the empty name stands for a model's input
            self.value(item, f"{key}.{shown}", _inside(hint))


def _parsed(text: str) -> Any:
    """Reads an option's text: `true`, or `[Timer, {class_path: Timer}]`."""
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text


def _unknown_key(key: str, name: str, siblings: Collection[str], prefix: str) -> str:
    suggestion = did_you_mean(name, siblings, whole=prefix + "{}")
    return f"no option '{key}'.{suggestion}"


def _hints(target: Any) -> dict[str, Any]:
    try:
        return typing.get_type_hints(vars(target).get("__init__", target))
    except (NameError, TypeError, AttributeError):
        return {}


def _options(hint: Any) -> tuple[Any, ...]:
    """Splits a union into its members."""
    is_union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    return typing.get_args(hint) if is_union else (hint,)


def _is_class_path(hint: Any) -> bool:
    """Tells whether a text can only be the class path of an object wanted."""
    wanted = [one for one in _options(hint) if one is not type(None)]
    return bool(wanted) and all(
        isinstance(one, type) and issubclass(one, class_paths.BASES) for one in wanted
    )


def _dataclasses(hint: Any) -> Iterator[type]:
    for option in _options(hint):
        if isinstance(option, type) and dataclasses.is_dataclass(option):
            yield option


def _inside(hint: Any) -> Any:
    """Returns the type of a dictionary's values, or None where it is not known."""
    for option in _options(hint):
        origin = typing.get_origin(option)
        if isinstance(origin, type) and issubclass(origin, Mapping):
            return typing.get_args(option)[1]
    return None
