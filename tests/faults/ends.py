"""What two runs ended with, compared bit for bit."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

PATHS = ("ModelCheckpoint", "hparams", "hyper_parameters")
"""Parts of a checkpoint with folders in them."""


def differences(one: Path, other: Path) -> list[str]:
    """Return the names of values in two files of `torch.save` that are not the same."""
    found = [dict(leaves("", torch.load(path, weights_only=True))) for path in (one, other)]
    names = found[0].keys() | found[1].keys()
    return sorted(
        name
        for name in names
        if not any(part in name for part in PATHS)
        and (
            name not in found[0] or name not in found[1] or not same(found[0][name], found[1][name])
        )
    )


def same_leaves(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Return whether names and values are the same, bit for bit."""
    return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)


def leaves(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Return the values in mappings, lists and tuples, with names."""
    if isinstance(value, dict):
        for key, one in value.items():
            yield from leaves(f"{name}/{key}", one)
    elif isinstance(value, list | tuple):
        for number, one in enumerate(value):
            yield from leaves(f"{name}/{number}", one)
    else:
        yield name, value


def same(one: Any, other: Any) -> bool:
    """Return whether two values are the same, bit for bit."""
    if not isinstance(one, Tensor) or not isinstance(other, Tensor):
        return bool(one == other)
    return one.dtype == other.dtype and one.shape == other.shape and torch.equal(one, other)
