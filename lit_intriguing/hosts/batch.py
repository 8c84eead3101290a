"""Where the inputs and the labels of a batch are, whatever holds them.

A batch may be a list, a tuple, a named tuple, a mapping or a dataclass. This is the only reader of
batches: for callbacks in training and for the commands.
"""

import copy
import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from lit_intriguing.errors import UserError
from lit_intriguing.splice import kind

Key = int | str

_ADVICE = "Say where they are: inputs=<key or position>, labels=<key or position>."


class BatchError(UserError, ValueError):
    """The inputs and labels of a batch cannot be found."""


@dataclass(frozen=True)
class BatchKeys:
    """Keys (of a mapping or dataclass) or positions (of a sequence) of inputs and labels.

    Attributes:
        inputs: None to find it: the first entry of a sequence; of a mapping or dataclass the only
            floating-point tensor, or else the only tensor of two dimensions or more.
        labels: None to find it: the second entry of a sequence; of a mapping or dataclass the only
            tensor of integers with one dimension.
        advice: What a message says on the way out.
    """

    inputs: Key | None = None
    labels: Key | None = None
    advice: str = field(default=_ADVICE, compare=False)

    def find(self, batch: Any) -> "BatchKeys":
        """Return both keys, for batches like this one.

        Raises:
            BatchError: If they cannot be found or do not exist, or if the entries are not two
                tensors of the same length.
        """
        there = self._entries_of(batch)
        inputs, labels = self.inputs, self.labels
        if _is_positional(batch):
            inputs = _from_front(0 if inputs is None else inputs, batch)
            labels = _from_front(1 if labels is None else labels, batch)
        else:
            inputs = self._only("inputs", there, _inputs_in(there)) if inputs is None else inputs
            labels = self._only("labels", there, _labels_in(there)) if labels is None else labels
        keys = dataclasses.replace(self, inputs=inputs, labels=labels)
        keys._check_lengths(*keys._pair(batch))
        return keys

    def resolve(self, batch: Any) -> "BatchKeys":
        """Return both keys, for batches like this one, whose entries `read` accepts.

        Raises:
            BatchError: As `find` and `read`.
        """
        keys = self.find(batch)
        keys.read(batch)
        return keys

    def read(self, batch: Any) -> tuple[Tensor, Tensor]:
        """Return inputs `(N, *S)`, floating-point, and labels `(N,)`, integers.

        Raises:
            BatchError: If either is missing or of another kind.
        """
        inputs, labels = self._pair(batch)
        if not is_inputs(inputs):
            raise self._error(f"The inputs must be a floating-point tensor, not {kind(inputs)}.")
        self._check_lengths(inputs, labels)
        if not is_labels(labels):
            raise self._error(
                "The labels must be a tensor of integers with one entry for each of the "
                f"{len(inputs)} inputs, not {kind(labels)}."
            )
        return inputs, labels

    def count(self, batch: Any) -> int:
        """Return the number of examples in a batch."""
        return len(self._pair(batch)[0])

    def example_shape(self, batch: Any) -> tuple[int, ...]:
        """Return the shape of one example of the inputs, without the batch dimension."""
        inputs, _ = self.find(batch)._pair(batch)
        return tuple(inputs.shape[1:])

    def replace(self, batch: Any, inputs: Tensor, labels: Tensor) -> Any:
        """Return a batch of the same kind with other inputs and labels; leave `batch` alone."""
        assert self.inputs is not None
        assert self.labels is not None
        return with_entries(batch, {self.inputs: inputs, self.labels: labels})

    def per_example_extras(self, batch: Any) -> list[Key]:
        """Return the other keys whose tensors have one entry for each example."""
        count = self.count(batch)
        return [
            key
            for key, entry in entries(batch).items()
            if key not in (self.inputs, self.labels)
            and isinstance(entry, Tensor)
            and entry.ndim > 0
            and len(entry) == count
        ]

    def _entries_of(self, batch: Any) -> dict[Key, Any]:
        if not is_container(batch):
            raise self._error(
                "A batch must be a sequence, a mapping or a dataclass of inputs and labels, not "
                f"{kind(batch)}. An attack needs the labels."
            )
        return entries(batch)

    def _pair(self, batch: Any) -> tuple[Any, Any]:
        there = self._entries_of(batch)
        for name, key in (("inputs", self.inputs), ("labels", self.labels)):
            if key not in there:
                has = f"{len(there)} entries" if _is_positional(batch) else list(there)
                raise self._error(
                    f"The batch has no {name} at {key!r}; it has {has}. An attack needs the labels."
                )
        assert self.inputs is not None
        assert self.labels is not None
        return there[self.inputs], there[self.labels]

    def _check_lengths(self, inputs: Any, labels: Any) -> None:
        for name, entry in (("inputs", inputs), ("labels", labels)):
            if not isinstance(entry, Tensor) or not entry.ndim:
                raise self._error(
                    f"The {name} must be a tensor with one entry for each example, not "
                    f"{kind(entry)}."
                )
        if len(inputs) != len(labels):
            raise self._error(f"The batch has {len(inputs)} inputs and {len(labels)} labels.")

    def _only(self, name: str, there: Mapping[Key, Any], found: Sequence[Key]) -> Key:
        if len(found) != 1:
            raise self._error(
                f"The batch's keys are {list(there)}; {len(found)} of them could be the {name}."
            )
        return found[0]

    def _error(self, problem: str) -> BatchError:
        return BatchError(f"{problem} {self.advice}")


def example_shape(batch: Any, key: Key | None = None) -> tuple[int, ...] | None:
    """Return the shape of one example of a batch, without the batch dimension; labels may miss.

    Args:
        batch: A tensor, or any batch.
        key: Of the inputs, or of what holds them; None for the first floating-point tensor of two
            dimensions or more.

    Returns:
        The shape; None if there is no such tensor.
    """
    there: dict[Key, Any] = entries(batch) if is_container(batch) else {0: batch}
    if key is not None:
        there = {key: there.get(_from_front(key, batch))}
    for entry in there.values():
        if is_inputs(entry) and entry.ndim > 1:
            return tuple(entry.shape[1:])
        if is_container(entry) and (shape := example_shape(entry)) is not None:
            return shape
    return None


def is_container(batch: object) -> bool:
    """Return whether a value is a sequence, a mapping or a dataclass."""
    return isinstance(batch, Mapping) or _is_dataclass(batch) or _is_positional(batch)


def entries(batch: Any) -> dict[Key, Any]:
    """Return the entries of a batch by their keys, field names or positions."""
    if isinstance(batch, Mapping):
        return dict(batch)
    if _is_dataclass(batch):
        return {one.name: getattr(batch, one.name) for one in dataclasses.fields(batch)}
    return dict(enumerate(batch))


def with_entries(batch: Any, new: Mapping[Key, Any]) -> Any:
    """Return a batch of the same kind with some entries replaced; leave `batch` alone."""
    if isinstance(batch, tuple):
        members = [new.get(position, entry) for position, entry in enumerate(batch)]
        return type(batch)(*members) if hasattr(batch, "_fields") else tuple(members)
    changed = copy.copy(batch)
    for key, entry in new.items():
        if _is_dataclass(batch) and not isinstance(batch, Mapping):
            object.__setattr__(changed, str(key), entry)  # also of a frozen one
        else:
            changed[key] = entry
    return changed


def is_inputs(entry: object) -> bool:
    """Return whether an entry is a floating-point tensor with a batch dimension."""
    return isinstance(entry, Tensor) and entry.is_floating_point() and entry.ndim > 0


def is_labels(entry: object) -> bool:
    """Return whether an entry is a tensor of integers with one dimension."""
    return (
        isinstance(entry, Tensor)
        and entry.ndim == 1
        and not entry.is_floating_point()
        and not entry.is_complex()
    )


def _inputs_in(there: Mapping[Key, Any]) -> list[Key]:
    found = [key for key, entry in there.items() if is_inputs(entry)]
    # Pixels may still be bytes, for a hook of the user's to convert on the device.
    return found or [
        k for k, entry in there.items() if isinstance(entry, Tensor) and entry.ndim > 1
    ]


def _labels_in(there: Mapping[Key, Any]) -> list[Key]:
    return [key for key, entry in there.items() if is_labels(entry)]


def _is_dataclass(batch: object) -> bool:
    return dataclasses.is_dataclass(batch) and not isinstance(batch, type)


def _is_positional(batch: object) -> bool:
    return isinstance(batch, Sequence) and not isinstance(batch, str)


def _from_front(key: Key, batch: Any) -> Key:
    """Return a position counted from the front, also for the name of a named tuple's field."""
    if key in getattr(batch, "_fields", ()):
        return int(batch._fields.index(key))
    if isinstance(key, int) and _is_positional(batch) and -len(batch) <= key < 0:
        return key + len(batch)
    return key
