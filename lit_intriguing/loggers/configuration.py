"""A configuration as loggers show it: a column, or a parameter, for each value."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

Plain = str | int | float | bool | None

INPUT_COLUMN = "input"
"""How the layer without a name, the model's input, is called; as in the keys of metrics."""


def by_name(value: Any) -> Any:
    """Return a configuration in which entries of lists of mappings have names, not numbers.

    Loggers make no columns of lists. An entry that names a class is called by it, so that
    `trainer.callbacks.AdversarialTraining.init_args.seed` is one; where several of a class are in
    a list, they are numbered below that name, from 0. Lists of plain values stay.

    Args:
        value: Plain values in mappings and lists.

    >>> by_name({"callbacks": [{"class_path": "a.Timer", "init_args": {"seed": 1}}]})
    {'callbacks': {'Timer': {'class_path': 'a.Timer', 'init_args': {'seed': 1}}}}
    """
    if isinstance(value, Mapping):
        return {str(key) or INPUT_COLUMN: by_name(one) for key, one in value.items()}
    if isinstance(value, list) and value and all(isinstance(one, Mapping) for one in value):
        return _named(value)
    return value


def _named(entries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    names = [str(one.get("class_path", "")).rpartition(".")[2] for one in entries]
    found: dict[str, Any] = {}
    for at, (name, one) in enumerate(zip(names, entries, strict=True)):
        if name and names.count(name) == 1:
            found[name] = by_name(one)
        elif name:
            found.setdefault(name, {})[str(names[:at].count(name))] = by_name(one)
        else:
            found[str(at)] = by_name(one)
    return found


def flat(value: Any) -> dict[str, Plain]:
    """Return all values of a configuration by their addresses, with dots between the names.

    Args:
        value: Plain values in mappings and lists.

    >>> flat({"model": {"widths": [64, 10], "optimizer": {"lr": 0.1}}, "paper": None})
    {'model.widths': '[64, 10]', 'model.optimizer.lr': 0.1, 'paper': None}
    """
    found: dict[str, Plain] = {}
    _gather(by_name(value), "", found)
    return found


def _gather(value: Any, address: str, found: dict[str, Plain]) -> None:
    if isinstance(value, Mapping) and value:
        for key, one in value.items():
            _gather(one, f"{address}.{key}" if address else str(key), found)
    elif isinstance(value, Mapping | list):
        found[address] = json.dumps(value)
    else:
        found[address] = value
