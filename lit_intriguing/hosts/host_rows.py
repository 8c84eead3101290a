"""Whole rows of a host's batch, of any kind: what stands beside the inputs goes with them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from lightning.fabric.utilities import move_data_to_device
from torch import Tensor, nn

from lit_intriguing.errors import UserError
from lit_intriguing.hosts.batch import BatchError, Place
from lit_intriguing.hosts.paths import (
    Key,
    PathError,
    entries,
    follow,
    from_front,
    is_container,
    is_positional,
    leaves,
    with_entries,
    with_leaf,
)
from lit_intriguing.hosts.whole_rows import ITSELF, all_leaves, entry_leaves
from lit_intriguing.splice import kind

_INDICES = (torch.int32, torch.int64)
_INPUT_NAMES = ("inputs", "input", "x", "image", "images", "img", "pixel_values", "features")
_LABEL_NAMES = ("labels", "label", "targets", "target", "y", "mask", "masks", "weight", "weights")


@dataclass(frozen=True)
class HostRows:
    """Some examples as a batch that the host's `training_step` takes.

    Attributes:
        batch: The batch, its tensors ordinary ones.
        count: Examples in it.
        inputs: Path of the inputs, `ITSELF` where the batch is a tensor; None where no
            floating-point tensor is known to be the inputs, as with token ids.
    """

    batch: Any
    count: int
    inputs: Key | None

    @classmethod
    def of(cls, batch: Any, place: Place | None, most: int | None = None) -> "HostRows":
        """Return a batch's first examples.

        Args:
            batch: A batch of the host's kind.
            place: Where the inputs are; None to find them.
            most: How many examples; None for all. All, too, where the batch cannot be cut.

        Raises:
            BatchError: If no tensor stands at `place`, or it cannot be found in doubt.
        """
        return cls.along(batch, _path_of(batch, place), most)

    @classmethod
    def along(cls, batch: Any, path: Key | None, most: int | None = None) -> "HostRows":
        """Return a batch's first examples, of which the entry at a path has one each; see `of`."""
        with torch.inference_mode(False):  # so that copies made in a validation are ordinary
            batch = map_tensors(batch, lambda one: one.detach().clone())
        count = _count(batch, path)
        whole = cls(batch, count, path)
        return whole if most is None or count <= most else whole.part(slice(0, most)) or whole

    def part(self, rows: slice) -> "HostRows | None":
        """Return some of the rows; None where the batch cannot be cut along the examples."""
        length = len(range(self.count)[rows])
        if isinstance(self.batch, Tensor):
            return replace(self, batch=self.batch[rows], count=length)
        if not is_container(self.batch):
            return None
        cut = self.batch
        for path, entry in entry_leaves(cut, self.count).items():
            cut = with_leaf(cut, path, entry[rows])
        some = replace(self, batch=cut, count=length)
        return some if _count(cut, self.inputs) == length else None

    def may_be_tied(self) -> bool:
        """Return whether integers stand beside the rows that belong to none, such as edges."""
        own = entry_leaves(self.batch, self.count) if is_container(self.batch) else {}
        return any(
            isinstance(one, Tensor) and one.ndim > 0 and one.dtype in _INDICES
            for path, one in (all_leaves(self.batch) if own else {}).items()
            if not any(path == mine or str(path).startswith(f"{mine}.") for mine in own)
        )

    def entry(self) -> Any:
        """Return what stands at the inputs' path."""
        assert self.inputs is not None
        return self.batch if self.inputs == ITSELF else follow(self.batch, self.inputs)

    def is_floating_point(self) -> bool:
        """Return whether the inputs are floating-point, and not bytes."""
        entry = self.entry()
        return (entry if isinstance(entry, Tensor) else entry[0]).is_floating_point()

    def tensor(self) -> Tensor:
        """Return the inputs `(N, *S)` in at least single precision; a list of tensors stacked."""
        entry = self.entry()
        if not isinstance(entry, Tensor) and len({one.shape for one in entry}) > 1:
            raise BatchError(
                f"The inputs at {self.inputs!r} are {len(entry)} tensors of different shapes, and "
                "an attack takes those of one shape: let the data give one size."
            )
        found = entry if isinstance(entry, Tensor) else torch.stack(list(entry))
        # An attack needs finer steps than bytes and half precision have.
        half = found.dtype in (torch.float16, torch.bfloat16)
        return found.float() if half or not found.is_floating_point() else found

    def with_tensor(self, x: Tensor) -> Any:
        """Return the batch with other inputs `(N, *S)`, of the dtype and kind that it had."""
        entry = self.entry()
        if self.is_floating_point():
            x = x.to(entry.dtype if isinstance(entry, Tensor) else entry[0].dtype)
        new = x if isinstance(entry, Tensor) else type(entry)(x.unbind())
        return new if self.inputs == ITSELF else with_leaf(self.batch, self.inputs or 0, new)

    def in_precision_of(self, module: nn.Module) -> "HostRows":
        """Return the rows with floating-point entries in the dtype of a module's weights."""
        weight = next((one for one in module.parameters() if one.is_floating_point()), None)
        if weight is None:
            return self

        def cast(entry: Tensor) -> Tensor:
            return entry.to(weight.dtype) if entry.is_floating_point() else entry

        return replace(self, batch=map_tensors(self.batch, cast))

    def to(self, device: torch.device) -> "HostRows":
        """Return the rows on a device."""
        return replace(self, batch=move_data_to_device(self.batch, device))

    def stored(self) -> dict[str, Any]:
        """Return the entries that are tensors, or lists of plain values, by path, on the CPU."""
        there = {"": self.batch} if isinstance(self.batch, Tensor) else _leaves(self.batch)
        plain = {str(path): _plain(entry) for path, entry in there.items()}
        return {path: entry for path, entry in plain.items() if entry is not None}

    def with_stored(self, stored: Mapping[str, Any]) -> "HostRows":
        """Return rows of this kind with the entries of `stored`, which others of the kind gave."""
        if isinstance(self.batch, Tensor):
            batch = stored.get("", self.batch)
            return replace(self, batch=batch, count=len(batch))
        batch = self.batch
        for path in map(str, _leaves(batch)):
            if path in stored:
                batch = with_leaf(batch, path, stored[path])
        return replace(self, batch=batch, count=_count(batch, self.inputs))


def map_tensors(batch: Any, function: Callable[[Tensor], Tensor]) -> Any:
    """Return a batch of the same kind with each of its tensors passed through a function."""
    if isinstance(batch, Tensor):
        return function(batch)
    if not is_container(batch):
        return batch
    new = {key: map_tensors(one, function) for key, one in entries(batch).items()}
    return with_entries(batch, new)


def _path_of(batch: Any, place: Place | None) -> Key | None:
    if callable(place):
        found = place(batch)
        path = next((path for path, leaf in _leaves(batch).items() if leaf is found), None)
        if path is None:
            raise BatchError(
                "The function inputs= gives a new tensor and not an entry of the batch, so nothing "
                "can take its place in the batch: let it return an entry as it is."
            )
        return path
    if place is not None:
        path = from_front(place, batch)
        try:
            entry = follow(batch, path)
        except PathError as error:
            raise BatchError(f"The batch has no inputs at {place!r}: {error}") from error
        if not _can_be_perturbed(entry):
            raise BatchError(
                f"The inputs at {place!r} are {kind(entry)}, no tensor to perturb: "
                "name floating-point ones by inputs=<key or path>, or use "
                "AdversarialExamples(layer=<name>), which attacks a layer, and leave inputs out."
            )
        return path
    return _found(batch)


def _found(batch: Any) -> Key | None:
    """Return where the inputs are, None where nothing could be."""
    if isinstance(batch, Tensor):
        return ITSELF if _are_inputs(batch) else None
    there: dict[Key, Any] = _image_lists(batch)
    there = there or {path: leaf for path, leaf in _leaves(batch).items() if _are_inputs(leaf)}
    if is_positional(batch):
        there = {path: one for path, one in there.items() if str(path).split(".")[0] == "0"}
    likely = {k: v for k, v in there.items() if not _are_bytes(v)} or there
    shapes = {tuple(one.shape) for one in likely.values() if isinstance(one, Tensor)}
    if is_positional(batch) and len(shapes) == 1:
        # Of several views of the same examples the first one.
        return next(path for path in likely)
    named = [path for path in likely if _name(path) in _INPUT_NAMES]
    others = [path for path in likely if _name(path) not in _LABEL_NAMES]
    for some in (named, others):
        if len(some) == 1:
            return some[0]
    if not likely:
        return None
    raise BatchError(
        f"The batch has {len(likely)} floating-point tensors that could be the inputs, "
        f"{list(likely)}: say which is meant by inputs=<one of them>."
    )


def _image_lists(batch: Any) -> dict[Key, Any]:
    """Return the lists of single images `(C, H, W)` that stand beside another list as long."""
    there = entries(batch) if is_container(batch) else {}
    lists = {key: one for key, one in there.items() if type(one) in (list, tuple)}
    return {
        key: one
        for key, one in lists.items()
        if one
        and all(isinstance(image, Tensor) and image.ndim == 3 for image in one)
        and any(len(other) == len(one) for name, other in lists.items() if name != key)
    }


def _name(path: Key) -> str:
    return str(path).rpartition(".")[2]


def _leaves(batch: Any) -> dict[Key, Any]:
    return leaves(batch) if is_container(batch) else {}


def _are_inputs(entry: object) -> bool:
    """Return whether an entry is a floating-point tensor of two dimensions, or bytes of pixels."""
    if not isinstance(entry, Tensor) or entry.ndim < 2:
        return False
    return entry.is_floating_point() or _are_bytes(entry)


def _are_bytes(entry: object) -> bool:
    return isinstance(entry, Tensor) and entry.dtype == torch.uint8 and entry.ndim > 2


def _can_be_perturbed(entry: object) -> bool:
    if isinstance(entry, list | tuple):
        return bool(entry) and all(map(_can_be_perturbed, entry))
    return isinstance(entry, Tensor) and (entry.is_floating_point() or _are_bytes(entry))


def _count(batch: Any, path: Key | None) -> int:
    if path is not None:
        return len(batch if path == ITSELF else follow(batch, path))
    there = [batch, *_leaves(batch).values()]
    lengths = [len(one) for one in there if isinstance(one, Tensor) and one.ndim]
    if not lengths:
        raise UserError(
            f"A batch, {kind(batch)}, holds no tensor with an entry for each example: say where "
            "the inputs are by inputs=<key, attribute or path>."
        )
    return lengths[0]


def _plain(entry: Any) -> Any:
    """Return a value as what `torch.load` reads without code of the user's; None if it is more."""
    if isinstance(entry, Tensor):
        return entry.cpu()
    if isinstance(entry, bool | int | float | str):
        return entry
    if type(entry) in (list, tuple):
        values = [_plain(one) for one in entry]
        return None if any(one is None for one in values) else type(entry)(values)
    if type(entry) is dict:
        values = [_plain(one) for one in entry.values()]
        return None if any(one is None for one in values) else dict(zip(entry, values, strict=True))
    return None
