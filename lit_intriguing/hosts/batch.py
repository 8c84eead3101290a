"""Where the inputs and the labels of a batch are, whatever holds them."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from lit_intriguing.errors import UserError
from lit_intriguing.splice import kind

Key = int | str


class BatchError(UserError, ValueError):
    """A batch in which inputs and labels cannot be told."""


@dataclass(frozen=True)
class BatchKeys:
    """Keys (of a mapping) or positions (of a sequence) of inputs and labels.

    Attributes:
        inputs: None to find it: the first entry of a sequence, the only floating-point tensor of
            a mapping.
        labels: None to find it: the second entry of a sequence, the only tensor of integers with
            one dimension of a mapping.
    """

    inputs: Key | None = None
    labels: Key | None = None

    def resolve(self, batch: Any) -> "BatchKeys":
        """Return keys that are both given, for batches like this one.

        Raises:
            BatchError: If they cannot be told or do not exist.
        """
        if isinstance(batch, Mapping):
            keys = BatchKeys(
                self.inputs if self.inputs is not None else _only(batch, "inputs", _is_input),
                self.labels if self.labels is not None else _only(batch, "labels", is_labels),
            )
        elif isinstance(batch, Sequence) and not isinstance(batch, str):
            labels = 1 if self.labels is None else self.labels
            keys = BatchKeys(*(_from_front(key, len(batch)) for key in (self.inputs or 0, labels)))
        else:
            raise BatchError(
                f"A batch must be a sequence or a mapping of inputs and labels, not {kind(batch)}. "
                "An attack needs the labels."
            )
        keys.read(batch)
        return keys

    def read(self, batch: Any) -> tuple[Tensor, Tensor]:
        """Return inputs ``(N, *S)``, floating point, and labels ``(N,)``, integers.

        Raises:
            BatchError: If either is missing or of another kind.
        """
        inputs, labels = (self._entry(batch, name) for name in ("inputs", "labels"))
        if not _is_input(inputs):
            raise BatchError(f"The inputs must be a floating-point tensor, not {kind(inputs)}.")
        if not is_labels(labels) or len(labels) != len(inputs):
            raise BatchError(
                "The labels must be a tensor of integers with one entry for each of the "
                f"{len(inputs)} inputs, not {kind(labels)}. Say where they are: labels=<key or "
                "position>."
            )
        return inputs, labels

    def replace(self, batch: Any, inputs: Tensor, labels: Tensor) -> Any:
        """Return a batch of the same kind with other inputs and labels; leave ``batch`` alone."""
        new = {self.inputs: inputs, self.labels: labels}
        if isinstance(batch, tuple):
            entries = [new.get(position, entry) for position, entry in enumerate(batch)]
            return type(batch)(*entries) if hasattr(batch, "_fields") else tuple(entries)
        changed = copy.copy(batch)
        for key, tensor in new.items():
            changed[key] = tensor
        return changed

    def per_example_extras(self, batch: Any) -> list[Key]:
        """Return the other keys whose tensors have a row for each example."""
        rows = len(self.read(batch)[0])
        entries = batch.items() if isinstance(batch, Mapping) else enumerate(batch)
        return [
            key
            for key, entry in entries
            if key not in (self.inputs, self.labels)
            and isinstance(entry, Tensor)
            and entry.ndim > 0
            and len(entry) == rows
        ]

    def _entry(self, batch: Any, name: str) -> Any:
        key = getattr(self, name)
        try:
            return batch[key]
        except (KeyError, IndexError, TypeError) as error:
            has = list(batch) if isinstance(batch, Mapping) else f"{len(batch)} entries"
            raise BatchError(
                f"The batch has no {name} at {key!r}; it has {has}. Say where they are: "
                f"{name}=<key or position>. An attack needs the labels."
            ) from error


def _is_input(entry: Any) -> bool:
    return isinstance(entry, Tensor) and entry.is_floating_point() and entry.ndim > 0


def is_labels(entry: Any) -> bool:
    """Whether an entry is a tensor of integers with one dimension."""
    return (
        isinstance(entry, Tensor)
        and entry.ndim == 1
        and not entry.is_floating_point()
        and not entry.is_complex()
    )


def _from_front(key: Key, length: int) -> Key:
    return key + length if isinstance(key, int) and -length <= key < 0 else key


def _only(batch: Mapping[Key, Any], name: str, fits: Any) -> Key:
    keys = [key for key, entry in batch.items() if fits(entry)]
    if len(keys) != 1:
        raise BatchError(
            f"The batch's keys are {list(batch)}; {len(keys)} of them could be the {name}. Say "
            f"which: {name}=<key>."
        )
    return keys[0]
