"""Changes to a configuration, written as configurations (JSON merge patch, RFC 7396)."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import TYPE_CHECKING, Any

from lit_intriguing.errors import UsageError
from lit_intriguing.spelling import did_you_mean

Config = dict[str, Any]

if TYPE_CHECKING:
    Patch = Config
else:
    # As an option: of a value that may be anything jsonargparse takes a mapping with `class_path`
    # for the class's whole arguments and adds their defaults, which would replace the base's.
    Patch = dict


def merged(base: Any, *patches: Any) -> Any:
    """Apply patches to a configuration, one after the other.

    A change is no further configuration: `merging.merged_files` merges those. Here a mapping is
    merged key by key, null deletes the key (its default then holds), anything else
    replaces what was there. Two rules are added to RFC 7396 for configurations with classes:

    - a mapping merged into a list changes the entries that its keys name by their class: with
      `callbacks: {Timer: {init_args: {interval: epoch}}}` the Timer changes, with
      `callbacks: {Timer: null}` it goes;
    - a patch with another `class_path` than the base's replaces the whole object, since the
      arguments of one class mean nothing to another.

    Args:
        base: The configuration; left as it is.
        patches: The changes.

    Returns:
        The changed configuration, sharing nothing with the arguments.

    Raises:
        UsageError: A patch takes out what is not there, or names a class that is not in a list,
            or twice.

    >>> merged({"trainer": {"max_epochs": 9, "callbacks": [{"class_path": "a.Timer"}]}},
    ...        {"trainer": {"callbacks": {"Timer": {"init_args": {"interval": "epoch"}}}}})
    {'trainer': {'max_epochs': 9, 'callbacks': [{'class_path': 'a.Timer', 'init_args': \
{'interval': 'epoch'}}]}}
    """
    result = deepcopy(base)
    for patch in patches:
        result = _apply(result, patch)
    return result


def class_name(entry: Any) -> str:
    """Return the bare name of the class that a configuration entry stands for, or an empty string.

    Args:
        entry: A class path, or a mapping with `class_path`.

    >>> class_name({"class_path": "torch.optim.Adam"}), class_name("torch.optim.SGD"), class_name(3)
    ('Adam', 'SGD', '')
    """
    path = entry.get("class_path", "") if isinstance(entry, Mapping) else entry
    return path.rpartition(".")[2] if isinstance(path, str) else ""


def _apply(base: Any, patch: Any) -> Any:
    if not isinstance(patch, Mapping):
        return deepcopy(patch)
    if isinstance(base, list):
        return _apply_to_list(base, patch)
    if isinstance(base, str) and "init_args" in patch:
        base = {"class_path": base}
    if not isinstance(base, Mapping) or _other_class(base, patch):
        base = {}
    result = dict(base)
    for key, value in patch.items():
        if value is None and key not in result:
            raise UsageError(
                f"null takes out {key!r}, which is not there.{did_you_mean(str(key), base)}"
            )
        if value is None:
            del result[key]
        else:
            result[key] = _apply(result.get(key), value)
    return result


def _other_class(base: Mapping[str, Any], patch: Mapping[str, Any]) -> bool:
    # A short name and a full path may be the same class: only the last part is compared.
    return "class_path" in patch and class_name(patch) != class_name(base)


def _apply_to_list(base: list[Any], patch: Mapping[str, Any]) -> list[Any]:
    result = list(base)
    for name, value in patch.items():
        names = [class_name(entry) for entry in result]
        if names.count(name) != 1:
            where = f"is in the list {names.count(name)} times" if name in names else "is not there"
            raise UsageError(
                f"a change to {name!r} in a list needs exactly one entry of that class; it {where}:"
                f" {names}.{did_you_mean(name, names)}"
            )
        at = names.index(name)
        result[at : at + 1] = [] if value is None else [_apply(result[at], value)]
    return result


def with_value(config: Any, path: Sequence[str], value: Any) -> Any:
    """Return a copy with one value set; the same where a list on the way lacks the class.

    Args:
        config: A configuration.
        path: Keys from the outside in; the key of a list's entry is its class.
        value: What to set.

    Returns:
        The copy, or `config` itself.

    >>> with_value({"trainer": {"callbacks": [{"class_path": "a.Timer"}]}},
    ...            ["trainer", "callbacks", "Timer", "seed"], 3)
    {'trainer': {'callbacks': [{'class_path': 'a.Timer', 'seed': 3}]}}
    >>> with_value({"callbacks": []}, ["callbacks", "Timer", "seed"], 3)
    {'callbacks': []}
    """
    if missing_class(config, path):
        return config
    patch = value
    for key in reversed(path):
        patch = {key: patch}
    return merged(config, patch)


def missing_class(config: Any, path: Sequence[str]) -> tuple[str, list[str]] | None:
    """Return the class that a list on the way lacks, and those it has; None if none is."""
    inner = config
    for key in path:
        if isinstance(inner, list):
            names = [class_name(entry) for entry in inner]
            if key not in names:
                return key, names
            inner = inner[names.index(key)]
        else:
            inner = inner.get(key) if isinstance(inner, Mapping) else None
    return None
