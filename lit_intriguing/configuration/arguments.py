"""What the user wrote on the command line: options, and what their files hold."""

from collections.abc import Collection, Iterator, Sequence
from itertools import pairwise
from typing import Any

from lit_intriguing.configuration.files import load_config
from lit_intriguing.configuration.patches import Config


def pairs(arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Split `--option=value` and `--option value`; an option without a value has an empty one.

    >>> list(pairs(["fit", "--a=1", "--b", "2", "--c"]))
    [('--a', '1'), ('--b', '2'), ('--c', '')]
    """
    for word, next_word in pairwise([*arguments, "-"]):
        if word.startswith("-") and "=" in word:
            option, _, value = word.partition("=")
            yield option, value
        elif word.startswith("-"):
            yield word, "" if next_word.startswith("-") else next_word


def is_config(option: str) -> bool:
    """Say whether an option names a configuration file."""
    return option in ("-c", "--config")


def without(arguments: Sequence[str], options: Collection[str]) -> list[str]:
    """Return arguments without some options and their values.

    >>> without(["--a=1", "--b", "2", "--c"], ["--a", "--b"])
    ['--c']
    """
    kept: list[str] = []
    dropping = False
    for word in arguments:
        if word.startswith("-"):
            dropping = word.partition("=")[0] in options
        if not dropping:
            kept.append(word)
    return kept


def written(arguments: Sequence[str]) -> list[tuple[str, Config]]:
    """Return name and content of each configuration file, in their order, then the options.

    The options, and YAML text in the place of a file, have no name. A file that only the parser can
    fetch, from a web address, is left out.
    """
    contents: list[tuple[str, Config]] = []
    options: Config = {}
    for option, value in pairs(arguments):
        if is_config(option):
            if "://" not in value:
                contents.append((file_name(value), load_config(value)))
        elif option.startswith("--"):
            _insert(options, option[2:].split("."), value)
    return [*contents, ("", options)]


def file_name(value: str) -> str:
    """Return what to call a configuration in messages; nothing where it is YAML text."""
    return "" if value.lstrip().startswith("{") else value


def _insert(tree: dict[str, Any], keys: Sequence[str], value: str) -> None:
    for key in keys[:-1]:
        below = tree.setdefault(key, {})
        if not isinstance(below, dict):  # `--model Net --model.width 3`
            below = tree[key] = {"class_path": below}
        tree = below
    # `--trainer.callbacks+=Timer` may be given several times.
    tree[keys[-1]] = [*tree.get(keys[-1], []), value] if keys[-1].endswith("+") else value
