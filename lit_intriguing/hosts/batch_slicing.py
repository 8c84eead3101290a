"""Cut batches of any kind along the examples, and put them together."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lit_intriguing.hosts.paths import entries, is_container, with_entries


def take(batch: Any, count: int, part: slice) -> Any:
    """Return some of a batch's examples, as a batch of the same kind.

    Args:
        batch: Tensors and NumPy arrays with `count` entries, and lists of `count` values, are cut
            at any depth; what else it holds stays as it is.
        count: Examples in the batch.
        part: Which of them.

    >>> take({"x": torch.arange(3), "name": ["a", "b", "c"], "note": "n"}, 3, slice(1, 3))
    {'x': tensor([1, 2]), 'name': ['b', 'c'], 'note': 'n'}
    """
    return with_entries(batch, {k: _cut(v, count, part) for k, v in entries(batch).items()})


def concatenate(batches: Sequence[Any], counts: Sequence[int]) -> Any:
    """Return one batch with the examples of all, one after the other.

    Args:
        batches: Batches of one kind. What is not one value for each example, or does not fit
            together, is that of the first.
        counts: Examples in each of them.

    >>> concatenate([(torch.tensor([1]), "a"), (torch.tensor([2, 3]), "b")], [1, 2])
    (tensor([1, 2, 3]), 'a')
    """
    if len(batches) == 1:
        return batches[0]
    columns = [entries(batch) for batch in batches]
    joined = {key: _join([one.get(key) for one in columns], counts) for key in columns[0]}
    return with_entries(batches[0], joined)


def _cut(entry: Any, count: int, part: slice) -> Any:
    if _is_array_of_examples(entry, count) or _is_list_of_examples(entry, count):
        return entry[part]
    return take(entry, count, part) if is_container(entry) else entry


def _join(column: Sequence[Any], counts: Sequence[int]) -> Any:
    pairs = list(zip(column, counts, strict=True))
    if all(_is_array_of_examples(entry, count) for entry, count in pairs):
        shapes = {(type(entry), entry.shape[1:]) for entry in column}
        joined = np.concatenate if isinstance(column[0], np.ndarray) else torch.cat
        return joined(list(column)) if len(shapes) == 1 else column[0]
    if all(_is_list_of_examples(entry, count) for entry, count in pairs):
        return type(column[0])(value for entry in column for value in entry)
    alike = {type(entry) for entry in column} == {type(column[0])}
    return concatenate(column, counts) if alike and is_container(column[0]) else column[0]


def _is_array_of_examples(entry: Any, count: int) -> bool:
    """Return whether this is a tensor, or an array of NumPy, with an entry for each example."""
    return isinstance(entry, Tensor | np.ndarray) and entry.ndim > 0 and len(entry) == count


def _is_list_of_examples(entry: Any, count: int) -> bool:
    """Return whether this is a list of values, one for each example, and not a batch itself."""
    if type(entry) not in (list, tuple) or len(entry) != count:
        return False
    return not any(isinstance(one, Tensor | Mapping | list | tuple) for one in entry)
