"""What the user wrote, as nested dictionaries: one for each file, one for the options."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from lit_intriguing.configuration import shipped


def pairs(arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Splits `--option=value` and `--option value`; an option without a value has an empty one.

    >>> list(pairs(["fit", "--a=1", "--b", "2", "--c"]))
    [('--a', '1'), ('--b', '2'), ('--c', '')]
    """
    for word, following in pairwise([*arguments, "-"]):
        if word.startswith("-") and "=" in word:
            option, _, value = word.partition("=")
            yield option, value
        elif word.startswith("-"):
            yield word, "" if following.startswith("-") else following


def is_config(option: str) -> bool:
    """Tells whether an option names a configuration file."""
    return option in ("-c", "--config")


def written(arguments: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yields the content of each configuration file, then all of it with the options on top."""
    options: dict[str, Any] = {}
    together: dict[str, Any] = {}
    for option, value in pairs(arguments):
        if is_config(option):
            content = _read(value)
            if isinstance(content, dict):
                yield content
                together = _over(together, content)
        elif option.startswith("--"):
            _insert(options, option[2:].split("."), value)
    yield _over(together, options)


def _read(name: str) -> Any:
    if "://" in name:  # only the parser knows how to fetch it
        return None
    text = name if name.lstrip().startswith("{") else Path(shipped.find(name)).read_text("utf-8")
    return yaml.safe_load(text)


def _insert(tree: dict[str, Any], keys: Sequence[str], value: str) -> None:
    for key in keys[:-1]:
        below = tree.setdefault(key, {})
        if not isinstance(below, dict):  # `--model Net --model.width 3`
            below = tree[key] = {"class_path": below}
        tree = below
    # `--trainer.callbacks+=Timer` may be given several times.
    tree[keys[-1]] = [*tree.get(keys[-1], []), value] if keys[-1].endswith("+") else value


def _over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Merges nested dictionaries; what stands above wins."""
    merged = dict(below)
    for key, value in above.items():
        under = merged.get(key)
        if isinstance(under, dict) and isinstance(value, dict):
            value = _over(under, value)
        merged[key] = value
    return merged
