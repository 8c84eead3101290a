"""A user's own directions from a file."""

import pickle
from collections.abc import Mapping
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch
from torch import Tensor

from lit_intriguing.data_folder import found_file
from lit_intriguing.errors import UserError
from lit_intriguing.tensor_files import read_tensors

OWN = "own directions"
"""Name of a basis that the file does not name."""


def read_directions(name: str) -> dict[str, dict[str, Tensor]]:
    """Read directions for layers, such as concept vectors.

    Args:
        name: A file, also within `$LIT_INTRIGUING_DATA`. `.npz`: arrays `(m, D)` under the names of
            layers, or `layer/basis` for several bases. Else what `torch.save` wrote: a mapping of
            layers to tensors `(m, D)`, or to mappings of bases to such tensors.

    Returns:
        Layer to name of the basis to directions, one a row.

    Raises:
        UserError: The file is missing, cannot be read, or holds something else.
    """
    path = found_file(name)
    if not path.is_file():
        raise UserError(f"There is no file of directions {name}.")
    try:
        content = _of_numpy(path) if path.suffix == ".npz" else _of_torch(path)
    except (OSError, ValueError, RuntimeError, EOFError, BadZipFile, pickle.UnpicklingError) as why:
        raise UserError(f"Cannot read directions from {path}: {why}") from why
    if not content:
        raise UserError(f"{path} holds no directions: {_FORM}.")
    return content


_FORM = "it must map names of layers to directions (m, D), or to names of bases and these"


def _of_numpy(path: Path) -> dict[str, dict[str, Tensor]]:
    found: dict[str, dict[str, Tensor]] = {}
    with np.load(path) as arrays:
        for key in arrays.files:
            layer, _, basis = key.partition("/")
            found.setdefault(layer, {})[basis or OWN] = torch.from_numpy(arrays[key])
    return found


def _of_torch(path: Path) -> dict[str, dict[str, Tensor]]:
    content = read_tensors(path, "take another copy of it")
    if not isinstance(content, Mapping):
        raise ValueError(f"it holds {type(content).__name__}, and {_FORM}.")
    found: dict[str, dict[str, Tensor]] = {}
    for layer, bases in content.items():
        named = bases if isinstance(bases, Mapping) else {OWN: bases}
        wrong = [key for key, one in named.items() if not isinstance(one, Tensor)]
        if wrong or not isinstance(layer, str):
            raise ValueError(f"under {layer!r} lies something else, and {_FORM}.")
        found[layer] = dict(named)
    return found
