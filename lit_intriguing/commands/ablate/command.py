"""`lightning ablate`: options to what is asked for."""

import re
from collections.abc import Sequence
from functools import reduce
from typing import Any

import yaml

from lit_intriguing.commands.ablate.options import Ablation
from lit_intriguing.commands.ablate.plan import Row
from lit_intriguing.configuration.files import yaml_value
from lit_intriguing.configuration.parsing import by_name, parsed
from lit_intriguing.configuration.patches import Config, merged
from lit_intriguing.errors import UsageError

_DOTTED = re.compile(r"--(overrides|tuning)\.([^=]+)(?:=(.*))?", re.S)
_PROGRAM = "lightning ablate"


def parse(arguments: Sequence[str]) -> Ablation:
    """Make a study of the command's arguments; see `configuration.parsing.parsed`.

    `--overrides.trainer.max_epochs 3` sets one value of a change, after all else, and leaves its
    others.

    Raises:
        UsageError: Something in the arguments cannot be.
    """
    rest, single = _single_values(arguments)
    printed = [word for word in rest if single and word.split("=")[0] == "--print_config"]
    others = [word for word in rest if word not in printed]
    values = parsed(Ablation, _PROGRAM, others).as_dict()
    for option, keys, value in single:
        try:
            _set(values[option], keys, value)
        except UsageError as error:
            raise UsageError(f"--{option}.{'.'.join(keys)}: {error}") from error
    if printed:
        text = yaml.safe_dump(values, default_flow_style=True, width=float("inf"), sort_keys=False)
        parsed(Ablation, _PROGRAM, ["--config", text.strip(), *printed])
    values["rows"] = by_name(values["rows"], Row)
    return Ablation(**values)


def _set(change: Config, keys: Sequence[str], value: Any) -> None:
    """Set one value of a change, under mappings that are made where there are none.

    A class that stands there by its path alone gets a mapping. A list is the change's own, which
    replaces the base's: its entry is changed at once, and a mapping in its place would change the
    base's.

    Raises:
        UsageError: A list does not have one entry of the class that is named.
    """
    key, *rest = keys
    inner = change.get(key)
    if not rest:
        change[key] = value
    elif isinstance(inner, list):
        change[key] = merged(inner, reduce(lambda below, name: {name: below}, rest[::-1], value))
    else:
        if not isinstance(inner, dict):
            change[key] = {"class_path": inner} if isinstance(inner, str) else {}
        _set(change[key], rest, value)


def _single_values(
    arguments: Sequence[str],
) -> tuple[list[str], list[tuple[str, list[str], Any]]]:
    """Take single values of changes out of the arguments: option, keys, value."""
    rest: list[str] = []
    single = []
    words = iter(arguments)
    for word in words:
        if not (match := _DOTTED.fullmatch(word)):
            rest.append(word)
            continue
        option, address, text = match.groups()
        text = next(words, "--") if text is None else text
        if text.startswith("--"):
            raise UsageError(f"{word}: expected a value behind it.")
        try:
            single.append((option, address.split("."), yaml_value(text)))
        except yaml.YAMLError as error:
            raise UsageError(f"{word}: the value is not valid YAML.") from error
    return rest, single
