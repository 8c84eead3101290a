"""The message for a misspelt option: the first key or class path that means nothing.

All of it runs after a parser has refused a configuration, never before.
"""

import dataclasses
import types
import typing
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import yaml
from jsonargparse import ArgumentParser

from lit_intriguing.configuration import class_paths
from lit_intriguing.configuration.arguments import written
from lit_intriguing.configuration.files import yaml_value
from lit_intriguing.errors import UsageError
from lit_intriguing.private import of_jsonargparse
from lit_intriguing.spelling import did_you_mean, nearest

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


def explain(
    arguments: Sequence[str], parser: ArgumentParser, hints: Mapping[str, Any] | None = None
) -> None:
    """Say what is misspelt in a command that a parser has refused.

    Args:
        arguments: What stands behind the command's name.
        parser: Of the subcommand.
        hints: See `check`.

    Raises:
        UsageError: A name is wrong; the message gives the nearest right one.
    """
    check_all(written(arguments), parser, hints)


def check_all(
    configs: Sequence[tuple[str, Mapping[str, Any]]],
    parser: ArgumentParser,
    hints: Mapping[str, Any] | None = None,
) -> None:
    """Check configurations that are merged in their order.

    Args:
        configs: Names and contents of files, and options, which have no name; later ones may leave
            out a class path that an earlier one gives.
        parser: Whose options they are.
        hints: See `check`.

    Raises:
        UsageError: A name is wrong; the message gives the file and the nearest right name.
    """
    classes: dict[str, str] = {}
    for file, config in configs:
        with _said_of(file):
            check(_with_classes(config, "", classes), keys_of(parser), hints)


def check_entries(arguments: Sequence[str], hints: Mapping[str, Any]) -> None:
    """Check the keys of dataclasses in dictionaries, such as the rows of an ablation.

    A parser drops an unknown key without a word where the key holds an empty mapping.

    Args:
        arguments: What stands behind the command's name; a parser has taken it.
        hints: Types of the options.

    Raises:
        UsageError: A dataclass has no such key; the message gives the nearest right one.
    """
    for file, config in written(arguments):
        for name, value in config.items():
            entries = _value_of(value) if isinstance(value, str) else value
            for dataclass in _dataclasses(_inside(hints.get(name))):
                for entry, given in entries.items() if isinstance(entries, Mapping) else ():
                    if isinstance(given, Mapping):
                        with _said_of(file):
                            _check_names(given, f"{name}.{entry}", dataclass)


@contextmanager
def _said_of(file: str) -> Iterator[None]:
    """Put the name of a file before what is wrong in it."""
    try:
        yield
    except UsageError as error:
        raise UsageError(f"{file}: {error}" if file else str(error)) from error


def keys_of(parser: ArgumentParser) -> list[str]:
    """Return the keys that a parser takes, dotted: `trainer.max_epochs`, `model`."""
    return [name for name in of_jsonargparse.option_names(parser) if not name.endswith("help")]


def check(
    config: Mapping[str, Any], known: Collection[str], hints: Mapping[str, Any] | None = None
) -> None:
    """Check each key and class path of a configuration against what they may be.

    It checks names only, no values: those are the parser's work.

    Args:
        config: The content of a configuration file.
        known: The keys that may stand in it, as from `keys_of`.
        hints: Types of keys that hold dataclasses, or dictionaries of such.

    Raises:
        UsageError: A name is wrong; the message gives the nearest right one.
    """
    _Checker(frozenset(known), hints or {}).group(config, "")


def _with_classes(value: Any, key: str, classes: dict[str, str]) -> Any:
    """Return a configuration with the class paths that it leaves to those merged before it.

    Args:
        value: The configuration, or what stands at a key of it.
        key: The key, dotted.
        classes: The class path given last at each key; those of `value` are added.
    """
    if isinstance(value, str) and key in CLASSES:
        classes[key] = value
    if not isinstance(value, Mapping):
        return value
    if "class_path" in value:
        classes[key] = str(value["class_path"])
    elif key in classes:
        value = {"class_path": classes[key], **value}
    prefix = f"{key}." if key else ""
    return {name: _with_classes(v, f"{prefix}{name}", classes) for name, v in value.items()}


@dataclasses.dataclass(frozen=True)
class _Checker:
    known: frozenset[str]
    hints: Mapping[str, Any]

    def group(self, config: Mapping[str, Any], prefix: str) -> None:
        """Check the keys of one group of the program's options, such as `trainer`."""
        siblings = {k[len(prefix) :].split(".")[0] for k in self.known if k.startswith(prefix)}
        for key_, value in config.items():
            name = str(key_).removesuffix("+")
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
        """Check a class given with its arguments, by its name alone, or by a file's name."""
        if isinstance(value, str):
            value = _value_of(value)
        if isinstance(value, list):
            for index, item in enumerate(value):
                self.class_or_path(item, f"{key}[{index}]")
        elif not isinstance(value, str):
            self.value(value, key, None)
        elif not value.endswith((".yaml", ".yml", ".json")):
            self.spec({"class_path": value}, key)

    def value(self, value: Any, key: str, hint: Any) -> None:
        """Check whatever stands at a key: a class with its arguments or by its name, a list."""
        if isinstance(value, list):
            for index, item in enumerate(value):
                self.value(item, f"{key}[{index}]", hint)
        elif isinstance(value, Mapping) and "class_path" in value:
            self.spec(value, key)
        elif isinstance(value, Mapping):
            self.mapping(value, key, hint)
        elif isinstance(value, str) and is_class(hint):
            self.class_or_path(value, key)

    def spec(self, spec: Mapping[str, Any], key: str) -> None:
        """Check `class_path` and the arguments given for that class."""
        try:
            target = class_paths.locate(str(spec["class_path"]))
        except UsageError as error:
            raise UsageError(f"{key}: {error}") from error
        if target is None:
            return
        if key == "model":
            _check_model(str(spec["class_path"]), target)
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
        """Check the arguments for a class or function, by name and then inside."""
        _check_names(given, key, target, extra)
        hints = hints_of(target)
        for name, value in given.items():
            name = str(name).removesuffix("+")
            self.value(value, f"{key}.{name}", hints.get(name))

    def mapping(self, value: Mapping[str, Any], key: str, hint: Any) -> None:
        """Check a dictionary that is a dataclass's arguments, or holds such dictionaries."""
        for dataclass in _dataclasses(hint):
            self.arguments(value, key, dataclass)
            return
        for name, item in value.items():
            quoted = str(name) or "''"  # the empty name stands for a model's input
            self.value(item, f"{key}.{quoted}", _inside(hint))


def _check_names(
    given: Mapping[str, Any], key: str, target: Any, extra: frozenset[str] = frozenset()
) -> None:
    """Check the names of arguments for a class or function."""
    names = class_paths.parameters(target)
    if names is None:
        return
    for written_name in given:
        name = str(written_name).removesuffix("+")
        if name not in names | extra:
            owner = getattr(target, "__name__", str(target))
            others = f" It has {', '.join(sorted(names))}." if names else ""
            suggestion = did_you_mean(name, names | extra) or _of_parts(name, target) or others
            raise UsageError(f"{key}: {owner} has no parameter '{name}'.{suggestion}")


def _of_parts(name: str, target: Any) -> str:
    """Name the part of a class's argument that has a parameter of this name, or one like it."""
    for argument, hint in hints_of(target).items():
        for part in _dataclasses(_inside(hint)) if argument != "return" else ():
            names: Collection[str] = class_paths.parameters(part) or ()
            if like := name if name in names else nearest(name, names):
                return f" Each {part.__name__} of its '{argument}' has '{like}'."
    return ""


def _check_model(path: str, target: Any) -> None:
    """Refuse a torch module, or a function that returns one, with the class that wraps it."""
    made = target if isinstance(target, type) else hints_of(target).get("return")
    if not isinstance(made, type) or not issubclass(made, torch.nn.Module):
        return
    # By its name: there are two packages that have it.
    if all(kind.__name__ != "LightningModule" for kind in made.__mro__):
        raise UsageError(
            f"model: {path} is a torch module, not a LightningModule: wrap it, by --model "
            f"lit_intriguing.models.Network --model.network {path} (its options are then "
            "--model.network.KEY); to train it on images, by lit_intriguing.models.ImageClassifier."
        )


def _value_of(text: str) -> Any:
    """Read an option's text: `true`, or `[Timer, {class_path: Timer}]`."""
    try:
        return yaml_value(text)
    except yaml.YAMLError:
        return text


def _unknown_key(key: str, name: str, siblings: Collection[str], prefix: str) -> str:
    suggestion = did_you_mean(name, siblings, whole=prefix + "{}")
    return f"no option '{key}'.{suggestion}"


def hints_of(target: Any) -> dict[str, Any]:
    """Return the types of what a class or function takes, by name, as far as they are known."""
    try:
        return typing.get_type_hints(vars(target).get("__init__", target))
    except (NameError, TypeError, AttributeError):
        return {}


def _options(hint: Any) -> tuple[Any, ...]:
    """Split a union into its members."""
    is_union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    return typing.get_args(hint) if is_union else (hint,)


def is_class(hint: Any) -> bool:
    """Say whether a value can only stand for an object, by its class path."""
    wanted = [one for one in _options(hint) if one is not type(None)]
    return bool(wanted) and all(
        isinstance(one, type) and issubclass(one, class_paths.BASES) for one in wanted
    )


def _dataclasses(hint: Any) -> Iterator[type]:
    for option in _options(hint):
        if isinstance(option, type) and dataclasses.is_dataclass(option):
            yield option


def _inside(hint: Any) -> Any:
    """Return the type of a dictionary's values, or None where it is not known."""
    for option in _options(hint):
        origin = typing.get_origin(option)
        inner = typing.get_args(option)
        if isinstance(origin, type) and issubclass(origin, Mapping) and len(inner) == 2:
            return inner[1]
    return None
