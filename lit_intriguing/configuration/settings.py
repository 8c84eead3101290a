"""`--set ADDRESS=VALUE`: any option of any callback and layer, on the command line.

See docs/configuration.md for what an address is.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import yaml

from lit_intriguing.configuration.files import yaml_value
from lit_intriguing.configuration.patches import Config, class_name
from lit_intriguing.errors import UsageError
from lit_intriguing.spelling import did_you_mean

OPTION = "--set"
HELP = "ADDRESS=VALUE ...: any option of any callback and layer, such as Timer.interval=step."
_PRINT = "--print_config"


def split_off(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Take what `--set` gives out of the arguments.

    Args:
        arguments: What stands behind the command's name.

    Returns:
        The other arguments, and the settings in their order.

    Raises:
        UsageError: `--set` stands alone.

    >>> split_off(["fit", "--set", "A.x=1", "B.y=2", "--c", "3", "--set=C.z=4"])
    (['fit', '--c', '3'], ['A.x=1', 'B.y=2', 'C.z=4'])
    """
    others: list[str] = []
    settings: list[str] = []
    taking = False
    for word, following in pairwise([*arguments, "-"]):
        if word == OPTION and following.startswith("-"):
            raise UsageError(f"{OPTION} gives nothing: write {OPTION} ADDRESS=VALUE.")
        if word == OPTION:
            taking = True
        elif word.startswith(f"{OPTION}="):
            settings.append(word.removeprefix(f"{OPTION}="))
            taking = False
        elif taking and not word.startswith("-"):
            settings.append(word)
        else:
            others.append(word)
            taking = False
    return others, settings


def as_arguments(
    arguments: Sequence[str],
    whole: Callable[[list[str]], Config],
    parse: Callable[[list[str]], Any],
) -> Any:
    """Parse arguments, with what `--set` gives last.

    Args:
        arguments: What stands behind the command's name, without a subcommand.
        whole: Returns the complete configuration of arguments without `--set`.
        parse: Makes of arguments what the command needs.

    Returns:
        What `parse` returns.

    Raises:
        UsageError: An address leads nowhere, or a value does not suit.
    """
    others, settings = split_off(arguments)
    if not settings:
        return parse(others)
    printed = [word for word in others if word.split("=")[0] == _PRINT]
    config = whole([word for word in others if word not in printed])
    for setting in settings:
        config = with_setting(config, setting)
    text = yaml.safe_dump(config, default_flow_style=True, width=float("inf"), sort_keys=False)
    try:
        return parse(["--config", text.strip(), *printed])
    except UsageError as error:
        raise UsageError(f"{OPTION} {' '.join(settings)}: {error}") from error


def with_setting(config: Config, setting: str) -> Config:
    """Return a copy of a configuration with one value set.

    Args:
        config: Of a whole command.
        setting: `ADDRESS=VALUE`.

    Raises:
        UsageError: It has another form, or the address leads nowhere.

    >>> with_setting({"trainer": {"callbacks": [{"class_path": "a.Timer", "init_args": {}}]}},
    ...              "Timer.interval=step")
    {'trainer': {'callbacks': [{'class_path': 'a.Timer', 'init_args': {'interval': 'step'}}]}}
    >>> with_setting({"trainer": {"max_epochs": 9}}, "trainer.max_epochs=1")
    {'trainer': {'max_epochs': 1}}
    """
    address, sign, text = setting.partition("=")
    if not sign or not address:
        raise UsageError(f"{OPTION} {setting}: expected ADDRESS=VALUE.")
    try:
        value = yaml_value(text)
    except yaml.YAMLError as error:
        raise UsageError(f"{OPTION} {setting}: the value is not valid YAML.") from error
    if address.partition(".")[0] not in config:
        address = _of_a_callback(config, address, setting)
    changed = _set(config, address, value, f"{OPTION} {setting}")
    assert isinstance(changed, dict)
    return changed


def _of_a_callback(config: Config, address: str, setting: str) -> str:
    """Return the whole address of one that begins with a callback."""
    callbacks = (config.get("trainer") or {}).get("callbacks") or []
    there = callbacks if isinstance(callbacks, list) else [callbacks]
    names = [class_name(one) for one in there]
    first = address.partition(".")[0].partition("[")[0]
    if first not in names:
        raise UsageError(
            f"{OPTION} {setting}: no callback and no option '{first}'."
            f"{did_you_mean(first, [*names, *config])} There are the callbacks "
            f"{', '.join(names) or '(none)'} and the options {', '.join(map(str, config))}."
        )
    alone = not isinstance(callbacks, list)
    within = f".{address.partition('.')[2]}" if alone and "." in address else ""
    return f"trainer.callbacks{within}" if alone else f"trainer.callbacks.{address}"


def _set(node: Any, address: str, value: Any, saying: str) -> Any:
    """Return a copy of a node with a value set below it.

    Args:
        node: A mapping, a list, or a class with its arguments.
        address: The names from here on.
        value: What to set.
        saying: What stands before an error's message.
    """
    if isinstance(node, str) and "." in node:
        node = {"class_path": node}
    if isinstance(node, list):
        return _set_in_list(node, address, value, saying)
    if not isinstance(node, Mapping):
        raise UsageError(
            f"{saying}: there is nothing at '{address}', since what holds it is "
            f"{'null' if node is None else repr(node)}: give that a class or a mapping first."
        )
    if "class_path" in node and address.partition(".")[0] not in node:
        inner = _set(node.get("init_args") or {}, address, value, saying)
        return {**node, "init_args": inner}
    name, rest = _first_name(node, address, saying)
    if rest is None and value is None and name not in node:
        known = [str(key) or "''" for key in node]
        raise UsageError(
            f"{saying}: null takes out '{name}', which is not there.{did_you_mean(name, known)}"
        )
    return {**node, name: value if rest is None else _set(node[name], rest, value, saying)}


def _first_name(node: Mapping[Any, Any], address: str, saying: str) -> tuple[Any, str | None]:
    """Split an address into the longest key that a mapping has, and what follows it.

    A key may hold dots, as layers do; the empty key, of the input, may be written `''`.
    """
    if address.partition(".")[0] in ("''", '""'):
        address = address[2:]
    for key in sorted(node, key=lambda key: len(str(key)), reverse=True):
        if address == str(key):
            return key, None
        if address.startswith(f"{key}."):
            return key, address[len(str(key)) + 1 :]
    if "." in address:
        known = [str(key) or "''" for key in node]
        raise UsageError(
            f"{saying}: there is no '{address}'.{did_you_mean(address, known)} There are: "
            f"{', '.join(known) or 'none'}."
        )
    return address, None


def _set_in_list(node: Sequence[Any], address: str, value: Any, saying: str) -> list[Any]:
    name, dot, rest = address.partition(".")
    at = _entry(node, name, saying)
    entries = list(node)
    if not dot and value is None:
        del entries[at]
    else:
        entries[at] = _set(node[at], rest, value, saying) if dot else value
    return entries


def _entry(node: Sequence[Any], name: str, saying: str) -> int:
    """Return which entry of a list is meant by `Class`, `Class[1]` or `1`, counted from 0."""
    if name.isdigit() and int(name) < len(node):
        return int(name)
    bare, bracket, index = name.partition("[")
    classes = [class_name(one) for one in node]
    found = [at for at, one in enumerate(classes) if one == bare]
    if not found:
        raise UsageError(
            f"{saying}: no '{bare}' in the list.{did_you_mean(bare, classes)} There are: "
            f"{', '.join(filter(None, classes)) or f'{len(node)} entries'}."
        )
    number = index.removesuffix("]")
    if not bracket and len(found) == 1:
        return found[0]
    if bracket and number.isdigit() and int(number) < len(found):
        return found[int(number)]
    last = len(found) - 1
    raise UsageError(f"{saying}: there are {bare}[0] to {bare}[{last}]: write which one is meant.")
