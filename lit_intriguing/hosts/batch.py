"""Where the inputs and the labels of a batch are, whatever holds them.

A batch may be a list, a tuple, a named tuple, a mapping or a dataclass, and these may be nested.
This is the only reader of batches: for callbacks in training and for the commands.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from lit_intriguing.errors import UserError
from lit_intriguing.hosts.paths import (
    Key,
    PathError,
    entries,
    follow,
    from_front,
    is_container,
    is_positional,
    leaves,
    with_leaf,
)
from lit_intriguing.splice import kind

Place = Key | Callable[[Any], Tensor]
"""Where something is in a batch: a key, position, field or path, or a function of the batch."""

_ADVICE = "Say where they are: inputs=<key or position>, labels=<key or position>."


class BatchError(UserError, ValueError):
    """The inputs and labels of a batch cannot be found."""


@dataclass(frozen=True)
class BatchKeys:
    """Where inputs and labels are: keys, positions, fields, paths such as `d.0`, or functions.

    Attributes:
        inputs: None to find it: the first entry of a sequence; of a mapping or dataclass the only
            floating-point tensor, or else the only tensor of two dimensions or more. What is
            nested counts where there is none outside.
        labels: None to find it: the second entry of a sequence; of a mapping or dataclass the only
            tensor of integers with one dimension; likewise where nested.
        advice: What a message says on the way out.
    """

    inputs: Place | None = None
    labels: Place | None = None
    advice: str = field(default=_ADVICE, compare=False)

    def find(self, batch: Any) -> "BatchKeys":
        """Return both keys, for batches like this one.

        Raises:
            BatchError: If they cannot be found or do not exist, or if the entries are not two
                tensors of the same length.
        """
        inputs = self._place("inputs", self.inputs, 0, batch, _inputs_in)
        labels = self._place("labels", self.labels, 1, batch, _labels_in)
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

    def find_labels(self, batch: Any) -> Place:
        """Return where the labels are, `(N,)`, whatever the inputs are.

        Raises:
            BatchError: If they cannot be found, or are no such integers.
        """
        place = self._place("labels", self.labels, 1, batch, _labels_in)
        labels = self._at("labels", place, batch)
        if not is_labels(labels):
            raise self._error(
                "The labels must be a tensor of integers with one entry for each example, not "
                f"{kind(labels)}."
            )
        return place

    def count(self, batch: Any) -> int:
        """Return the number of examples in a batch."""
        return len(self._pair(batch)[0])

    def example_shape(self, batch: Any) -> tuple[int, ...]:
        """Return the shape of one example of the inputs, without the batch dimension."""
        inputs, _ = self.find(batch)._pair(batch)
        return tuple(inputs.shape[1:])

    def replace(self, batch: Any, inputs: Tensor, labels: Tensor) -> Any:
        """Return a batch of the same kind with other inputs and labels; leave `batch` alone.

        Raises:
            BatchError: If a function makes one of them anew.
        """
        for name, place, new in (("inputs", self.inputs, inputs), ("labels", self.labels, labels)):
            if place is None or callable(place):
                raise self._error(
                    f"The function {name}= gives a new tensor and not an entry of the batch, so "
                    "nothing can take its place in the batch. Let it return an entry as it is, or "
                    "set keep_out=True."
                )
            batch = with_leaf(batch, place, new)
        return batch

    def per_example_extras(self, batch: Any) -> list[Key]:
        """Return the other keys whose tensors have one entry for each example."""
        count = self.count(batch)
        return [
            key
            for key, entry in (leaves(batch) if is_container(batch) else {}).items()
            if key not in (self.inputs, self.labels)
            and isinstance(entry, Tensor)
            and entry.ndim > 0
            and len(entry) == count
        ]

    def _place(
        self,
        name: str,
        given: Place | None,
        position: int,
        batch: Any,
        candidates: Callable[[Mapping[Key, Any]], list[Key]],
    ) -> Place:
        """Return where the inputs or the labels are; `position` is theirs in a sequence."""
        if callable(given):
            entry = _entry_of(given(batch), batch)
            return given if entry is None else entry
        if given is not None:
            return from_front(given, batch)
        if not is_container(batch):
            raise self._error(
                "A batch must be a sequence, a mapping or a dataclass of inputs and labels, not "
                f"{kind(batch)}. An attack needs the labels."
            )
        there = entries(batch)
        if not is_positional(batch):
            return self._only(name, candidates(there) or candidates(leaves(batch)), batch)
        inner = {k: leaf for k, leaf in leaves(batch).items() if str(k).startswith(f"{position}.")}
        if not inner:
            return position
        return self._only(name, candidates(inner), batch)

    def _pair(self, batch: Any) -> tuple[Any, Any]:
        return self._at("inputs", self.inputs, batch), self._at("labels", self.labels, batch)

    def _at(self, name: str, place: Place | None, batch: Any) -> Any:
        assert place is not None
        if callable(place):
            return place(batch)
        try:
            return follow(batch, place)
        except PathError:
            pass
        there = list(leaves(batch)) if is_container(batch) else []
        has = f"{len(there)} entries" if is_positional(batch) else there or "none"
        raise self._error(
            f"The batch has no {name} at {place!r}; it has {has}. An attack needs the labels."
        )

    def _check_lengths(self, inputs: Any, labels: Any) -> None:
        for name, entry in (("inputs", inputs), ("labels", labels)):
            if not isinstance(entry, Tensor) or not entry.ndim:
                raise self._error(
                    f"The {name} must be a tensor with one entry for each example, not "
                    f"{kind(entry)}."
                )
        if len(inputs) != len(labels):
            raise self._error(f"The batch has {len(inputs)} inputs and {len(labels)} labels.")

    def _only(self, name: str, found: Sequence[Key], batch: Any) -> Key:
        if len(found) != 1:
            raise self._error(
                f"The batch's keys are {list(leaves(batch))}; {len(found)} of them could be the "
                f"{name}."
            )
        return found[0]

    def _error(self, problem: str) -> BatchError:
        return BatchError(f"{problem} {self.advice}")


def example_shape(batch: Any, key: Place | None = None) -> tuple[int, ...] | None:
    """Return the shape of one example of a batch, without the batch dimension; labels may miss.

    Args:
        batch: A tensor, or any batch.
        key: Where the inputs are; None for the first floating-point tensor of two dimensions or
            more.

    Returns:
        The shape; None if there is no such tensor.
    """
    there: dict[Key, Any] = leaves(batch) if is_container(batch) else {0: batch}
    if callable(key):
        there = {0: key(batch)}
    elif key is not None:
        try:
            there = {key: follow(batch, from_front(key, batch))}
        except PathError:
            return None
    for entry in there.values():
        if is_inputs(entry) and entry.ndim > 1:
            return tuple(entry.shape[1:])
        if is_container(entry) and (shape := example_shape(entry)) is not None:
            return shape
    return None


def name_of(place: Place | None) -> str | None:
    """Return the name that an entry has in its own container, if it has one.

    >>> name_of("d.pixels"), name_of(0)
    ('pixels', None)
    """
    return place.rpartition(".")[2] if isinstance(place, str) else None


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


def _entry_of(found: Any, batch: Any) -> Key | None:
    """Return the path of the entry that a function gave as it is; None if it made a new tensor."""
    there = leaves(batch) if is_container(batch) else {}
    return next((path for path, leaf in there.items() if leaf is found), None)
