"""Sharded checkpoints of `torch.distributed.checkpoint`, checked and put together in memory."""

import io
import math
import zipfile
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from lit_intriguing.errors import DamagedFileError, UserError
from lit_intriguing.private.of_torch import Shard, ShardsError, index_of_shards, read_shards
from lit_intriguing.sharded_folder import INDEX, REST, what_is_missing
from lit_intriguing.tensor_files import check_archive, read_tensors, why_refused

WEIGHTS = ("state_dict", "model")
"""Names of the weights, as `ModelParallelStrategy` and `FSDPStrategy` have them."""
_OPTIMIZER = "optimizer_"


def read_sharded(folder: Path, way_out: str, *, weights_only: bool = True) -> dict[str, Any]:
    """Read a sharded checkpoint whole, as if it were one file of a run on one process.

    Args:
        folder: With the shards of all processes.
        way_out: What a user can do about a damaged one, the end of the message.
        weights_only: Whether it may hold only tensors and plain values; False runs code in it.

    Returns:
        What Lightning has in a checkpoint: `state_dict`, `optimizer_states`, `callbacks`, ...

    Raises:
        DamagedFileError: A file is missing, was cut or changed.
        UserError: It holds more than tensors and plain values.
    """
    check_sharded(folder, way_out, weights_only=weights_only)
    rest = read_tensors(folder / REST, way_out, weights_only=weights_only)
    try:
        content = read_shards(folder)
        weights = next(content.pop(name) for name in WEIGHTS if name in content)
        count = sum(name.startswith(_OPTIMIZER) for name in content)
        states = [_by_number(content.pop(f"{_OPTIMIZER}{k}")) for k in range(count)]
    except (KeyError, ShardsError) as error:
        raise DamagedFileError(f"{folder} is damaged ({error!r}): {way_out}.") from error
    return {**content, **rest, "state_dict": weights, "optimizer_states": states}


def read_rest(folder: Path, way_out: str, *, weights_only: bool = True) -> dict[str, Any]:
    """Read what a sharded checkpoint holds beside the tensors, such as its model's options.

    Args:
        folder: See `read_sharded`.
        way_out: See `read_sharded`.
        weights_only: See `read_sharded`.

    Returns:
        The same, with an empty `state_dict`, and empty `optimizer_states` where it has some.
    """
    _check_complete(folder, way_out)
    rest: dict[str, Any] = read_tensors(folder / REST, way_out, weights_only=weights_only)
    names = _index(folder, way_out)[0]
    states: dict[str, Any] = {"state_dict": {}}
    if any(name.startswith(_OPTIMIZER) for name in names):
        states["optimizer_states"] = []
    return rest | states


def weights_in(folder: Path, way_out: str) -> dict[str, torch.Tensor]:
    """Return the weights of a sharded checkpoint by name, without their values.

    Args:
        folder: See `read_sharded`.
        way_out: See `read_sharded`.
    """
    found = {}
    for full_name, (size, _) in _index(folder, way_out)[0].items():
        kind, _, name = full_name.partition(".")
        if kind in WEIGHTS and size is not None:
            found[name] = torch.empty(size, device="meta")
    return found


def check_sharded(
    folder: Path,
    way_out: str,
    *,
    weights_only: bool = True,
    process: int = 0,
    processes: int = 1,
) -> None:
    """Raise if a sharded checkpoint is not as it was written.

    Each stored tensor or value is an archive of its own, with checksums. The index has none: its
    places must lie within the files, and the parts of a tensor make it up exactly.

    Args:
        folder: See `read_sharded`.
        way_out: See `read_sharded`.
        weights_only: See `read_sharded`.
        process: Which one asks, from 0.
        processes: How many ask; each reads its part of the tensors.

    Raises:
        DamagedFileError: A file is missing, was cut or changed.
        UserError: It holds more than tensors and plain values.
    """
    _check_complete(folder, way_out)
    check_archive(folder / REST, way_out)
    names, shards = _index(folder, way_out)
    if not any(name.split(".")[0] in WEIGHTS for name in names):
        raise DamagedFileError(f"{folder} is damaged (it has no weights): {way_out}.")
    for name, (size, boxes) in names.items():
        if size is not None and not _fill(size, boxes):
            raise DamagedFileError(f"{folder} is damaged (the parts of {name}): {way_out}.")
    for shard in shards[process::processes]:
        _check_shard(folder, shard, way_out, weights_only)


def _check_complete(folder: Path, way_out: str) -> None:
    missing = what_is_missing(folder)
    if missing is not None:
        raise DamagedFileError(
            f"{folder} is an incomplete sharded checkpoint: it has no {missing}, as where saving "
            f"was cut off: {way_out}."
        )


def _index(folder: Path, way_out: str) -> tuple[dict[str, Any], list[Shard]]:
    try:
        return index_of_shards(folder / INDEX)
    except Exception as error:  # of many kinds: any byte may have changed
        raise DamagedFileError(
            f"{folder / INDEX} is damaged, or no index of a checkpoint ({error}): {way_out}."
        ) from error


def _check_shard(folder: Path, shard: Shard, way_out: str, weights_only: bool) -> None:
    """Check a stored tensor or value: its file, its place there, its checksums, its shape."""
    path = folder / shard.file
    if path.parent != folder or not path.is_file():
        raise DamagedFileError(
            f"{folder} is an incomplete sharded checkpoint: it has no {shard.file}: {way_out}."
        )
    with path.open("rb") as file:
        file.seek(shard.start)
        part = file.read(shard.length)
    try:
        with zipfile.ZipFile(io.BytesIO(part)) as archive:
            damaged = archive.testzip()
        # Zip files may begin late in the part; torch reads none that does.
        safe = weights_only or shard.sizes is not None
        stored: Any = None if damaged else torch.load(io.BytesIO(part), weights_only=safe)
    except UnpicklingError as error:
        raise UserError(f"{path} cannot be read as a checkpoint: {why_refused(error)}") from error
    except Exception as error:  # of many kinds, such as UnicodeDecodeError of a damaged name
        raise DamagedFileError(f"{path} is damaged ({shard.name}: {error}): {way_out}.") from error
    if damaged is not None or (shard.sizes is not None and tuple(stored.shape) != shard.sizes):
        raise DamagedFileError(f"{path} is damaged (checksum of {shard.name}): {way_out}.")


def _fill(size: tuple[int, ...], boxes: list[tuple[tuple[int, ...], tuple[int, ...]]]) -> bool:
    """Return whether parts of a tensor make it up exactly.

    Args:
        size: Of the tensor.
        boxes: Offsets and sizes of its parts.
    """
    inside = all(
        start >= 0 and start + length <= whole
        for offsets, sizes in boxes
        for start, length, whole in zip(offsets, sizes, size, strict=True)
    )
    volume = sum(math.prod(sizes) for _, sizes in boxes)
    apart = not any(_overlap(one, other) for one, other in combinations(boxes, 2))
    return inside and apart and volume == math.prod(size)


def _overlap(one: Any, other: Any) -> bool:
    """Return whether two parts share an entry."""
    sides: Iterator[tuple[int, int, int, int]] = zip(*one, *other, strict=True)
    return all(a < b + length_b and b < a + length_a for a, length_a, b, length_b in sides)


def _by_number(state: dict[str, Any]) -> dict[str, Any]:
    """Return an optimiser's state with numbers in place of the parameters' names, as in a file."""
    groups = state["param_groups"]
    numbers = {name: k for k, name in enumerate(n for group in groups for n in group["params"])}
    return {
        "state": {numbers[name]: one for name, one in state.get("state", {}).items()},
        "param_groups": [
            {**group, "params": [numbers[name] for name in group["params"]]} for group in groups
        ],
    }
