"""Whole rows of a batch: every entry that has one value for each example."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lit_intriguing.errors import UserError
from lit_intriguing.hosts.batch import BatchError, Place, is_labels
from lit_intriguing.hosts.paths import Key, entries, follow, from_front, is_container, with_leaf
from lit_intriguing.splice import Edit, kind

ITSELF = ""
"""The path of a batch that is one tensor."""


@dataclass(frozen=True)
class RowPlaces:
    """Where the entries of each example are in a batch, by path.

    Attributes:
        inputs: The tensor that is perturbed; where only hidden layers are attacked, any of the
            tensors.
        labels: Integers `(N,)`; None if there are none.
        rest: What else has an entry for each example, with the inputs and labels whole rows.
        whole: Whether a batch is one row, since its examples cannot be told apart: those of a
            graph, say, whose edges belong to none of them. The rest is then all else it holds.
    """

    inputs: Key
    labels: Key | None
    rest: tuple[Key, ...]
    whole: bool = False

    def as_whole(self, batch: Any) -> "RowPlaces":
        """Return the places of batches that are one row each."""
        tensors = [key for key, one in all_leaves(batch).items() if isinstance(one, Tensor)]
        return RowPlaces(self.inputs, None, tuple(k for k in tensors if k != self.inputs), True)

    def ties_rows(self, batch: Any) -> bool:
        """Return whether a batch holds integers that belong to no row, such as edges."""
        own = (self.inputs, self.labels, *self.rest)
        return any(
            isinstance(one, Tensor) and one.ndim > 0 and not one.is_floating_point()
            for key, one in (all_leaves(batch) if is_container(batch) else {}).items()
            if key not in own
        )

    def read_inputs(self, batch: Any) -> Tensor:
        """Return the inputs, `(N, *S)`; of a batch that is one row, `(1, N, *S)`."""
        inputs: Tensor = self.at(batch, self.inputs)
        return inputs.unsqueeze(0) if self.whole else inputs

    def of_rows(self, edits: Mapping[str, Edit]) -> Mapping[str, Edit]:
        """Return edits of layers' outputs as rows; see `whole`."""
        return {name: _of_one_row(edit) for name, edit in edits.items()} if self.whole else edits

    def count(self, batch: Any) -> int:
        """Return the number of examples of a batch."""
        return len(self.read_inputs(batch))

    def at(self, batch: Any, path: Key) -> Any:
        """Return the entry at a path.

        Raises:
            BatchError: If there is none.
        """
        try:
            return batch if path == ITSELF else follow(batch, path)
        except LookupError as error:
            raise BatchError(
                f"The batch has nothing at {path!r}, where the first batch had an entry."
            ) from error

    def read_rest(self, batch: Any) -> dict[Key, Any]:
        """Return the other entries that have a value for each example in this batch too."""
        if not self.rest:
            return {}
        if self.whole:
            return {path: [self.at(batch, path)] for path in self.rest}
        count = self.count(batch)
        there = {path: self.at(batch, path) for path in self.rest}
        return {path: one for path, one in there.items() if _has_entries(one, count)}

    def replace(self, batch: Any, new: Mapping[Key, Any]) -> Any:
        """Return a batch of the same kind with other entries; leave `batch` alone."""
        for path, entries_of in new.items():
            entry = entries_of[0] if self.whole else entries_of
            batch = entry if path == ITSELF else with_leaf(batch, path, entry)
        return batch


def row_places(batch: Any, inputs: Place | None, labels: Place | None) -> RowPlaces:
    """Find the entries of each example in a batch of any kind.

    Args:
        batch: A tensor or a container.
        inputs: Where the inputs are, if given: a path, or a function that returns an entry.
        labels: Where the labels are, likewise. If not given, the only integers `(N,)`.

    Raises:
        BatchError: If no tensor can be the inputs.
    """
    if isinstance(batch, Tensor):
        return RowPlaces(ITSELF, None, ())
    if not is_container(batch):
        raise BatchError(
            f"A batch must be a tensor, a sequence, a mapping or a dataclass, not {kind(batch)}."
        )
    there = all_leaves(batch)
    path = _given("inputs", inputs, batch) if inputs is not None else _likely_inputs(there)
    entry = follow(batch, path)
    if not isinstance(entry, Tensor) or not entry.ndim:
        raise BatchError(
            f"The inputs must be a tensor with one entry for each example, not {kind(entry)}. Say "
            "where they are: inputs=<key or position>."
        )
    rows = {key: one for key, one in entry_leaves(batch, len(entry)).items() if key not in (path,)}
    if labels is not None:
        found: Key | None = _given("labels", labels, batch)
    else:
        integers = [key for key, one in rows.items() if is_labels(one)]
        found = integers[0] if len(integers) == 1 else None
    return RowPlaces(path, found, tuple(key for key in rows if key != found))


def all_leaves(batch: Any) -> dict[Key, Any]:
    """Return all that a batch holds, by path; containers are entered at any depth."""
    return entry_leaves(batch, None)


def entry_leaves(batch: Any, count: int | None) -> dict[Key, Any]:
    """Return what has an entry for each of `count` examples, by path; None for everything.

    A list of that length in a batch, such as one of boxes, counts as a whole, unless it holds
    tensors that have that length themselves.

    >>> boxes = [{"box": torch.zeros(1, 4)}, {"box": torch.zeros(3, 4)}]
    >>> list(entry_leaves((torch.zeros(2, 3), boxes, {"mask": torch.ones(2), "scale": 3}), 2))
    [0, 1, '2.mask']
    """
    found: dict[Key, Any] = {}
    for key, entry in entries(batch).items():
        if count is not None and _has_entries(entry, count):
            found[key] = entry
        elif is_container(entry):
            inside = entry_leaves(entry, count)
            found |= {f"{key}.{path}": leaf for path, leaf in inside.items()}
        elif count is None:
            found[key] = entry
    return found


def join_rows(parts: list[Any]) -> Any:
    """Return one entry with the rows of all, one after the other.

    Raises:
        UserError: If they are tensors of different shapes.
    """
    first = parts[0]
    if isinstance(first, Tensor):
        if len({one.shape[1:] for one in parts}) > 1:
            raise UserError("Rows of different shapes cannot join one batch: use keep_out=True.")
        return torch.cat([one.to(first.dtype) for one in parts])
    if isinstance(first, np.ndarray):
        return np.concatenate(parts)
    return type(first)(value for one in parts for value in one)


def _of_one_row(edit: Edit) -> Edit:
    return lambda output: edit(output.unsqueeze(0)).squeeze(0)


def _has_entries(entry: Any, count: int) -> bool:
    if isinstance(entry, Tensor | np.ndarray):
        return entry.ndim > 0 and len(entry) == count
    if type(entry) not in (list, tuple) or len(entry) != count:
        return False
    tensors = [one for one in entry if isinstance(one, Tensor)]
    # Three images of three channels are no views of three examples.
    views = [one.ndim not in (0, 3) and len(one) == count for one in tensors]
    return not (tensors and all(views))


def _given(name: str, place: Place, batch: Any) -> Key:
    if not callable(place):
        return from_front(place, batch)
    wanted = place(batch)
    for path, entry in all_leaves(batch).items():
        if entry is wanted:
            return path
    raise BatchError(
        f"The function {name}= gives a new tensor and not an entry of the batch, so nothing can "
        "take its place in the batch. Let it return an entry as it is."
    )


def _likely_inputs(there: Mapping[Key, Any]) -> Key:
    tensors = {key: one for key, one in there.items() if isinstance(one, Tensor) and one.ndim}
    floats = [k for k, one in tensors.items() if one.is_floating_point() and one.ndim > 1]
    found = floats or [k for k, one in tensors.items() if one.ndim > 1] or list(tensors)
    if not found:
        raise BatchError("The batch holds no tensor with an entry for each example.")
    return found[0]
