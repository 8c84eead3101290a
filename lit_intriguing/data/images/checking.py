"""All files of a data set decoded once, before a run: which cannot be read, and what sizes."""

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from lit_intriguing.data.images.reading import UnreadableImageError, inspect_image
from lit_intriguing.data.images.videos import VideoFrames, look_through
from lit_intriguing.data_folder import cache_folder
from lit_intriguing.errors import DamagedFileError
from lit_intriguing.whole_files import read_checked_json, write_checked_json

R = TypeVar("R")
_FEW = {"image": 2_000, "video": 10}
"""Up to so many files no progress is shown."""


@dataclass(frozen=True)
class Findings:
    """What a check has found.

    Attributes:
        unreadable: Why a file cannot be read, by its path.
        sizes: One image for each size, `heightxwidth`, of at most three sizes.
    """

    unreadable: dict[str, str]
    sizes: dict[str, str]


def check_images(folder: Path, paths: Sequence[str], workers: int, progress: bool) -> Findings:
    """Decode each file, or take what an earlier check of the same files has stored.

    The findings are stored in the user's cache. They count until a file changes its size or its
    time.

    Args:
        folder: Of the files.
        paths: Of the files, within it.
        workers: Processes.
        progress: Show a bar where there are many.
    """
    return _stored(
        ("images", folder, paths),
        lambda: asdict(_decode(folder, paths, workers, progress)),
        lambda content: Findings(**content),
    )


def check_videos(
    folder: Path, paths: Sequence[str], workers: int, progress: bool
) -> dict[str, VideoFrames]:
    """Decode each video once and return what is in it, by its path; see `check_images`."""
    videos = _Inspected(folder, paths, look_through)
    return _stored(
        ("videos", folder, paths),
        lambda: {path: asdict(one) for path, one in _all(videos, 1, workers, progress, "video")},
        lambda content: {path: _video_frames(content[path]) for path in paths},
    )


def _stored(
    of: tuple[str, Path, Sequence[str]],
    look: Callable[[], dict[str, Any]],
    read: Callable[[dict[str, Any]], R],
) -> R:
    """Return what an earlier look at the same files has stored, or look now and store it."""
    kind, folder, paths = of
    store = cache_folder() / kind / f"{_digest(folder, paths)}.json"
    with contextlib.suppress(DamagedFileError, TypeError, KeyError):  # none, or not one of ours
        return read(read_checked_json(store, "it is made again"))
    found = look()
    with contextlib.suppress(OSError):  # a cache that cannot be written: the next run decodes again
        write_checked_json(store, found)
    return read(found)


def _video_frames(stored: dict[str, Any]) -> VideoFrames:
    tuples: dict[str, Any] = {
        key: tuple(one) if isinstance(one, list) else one for key, one in stored.items()
    }
    return VideoFrames(**tuples)


def _digest(folder: Path, paths: Sequence[str]) -> str:
    digest = hashlib.sha256(str(folder.resolve()).encode())
    for path in paths:
        try:
            state = (folder / path).stat()
            digest.update(f"{path}\0{state.st_size}\0{state.st_mtime_ns}\n".encode())
        except OSError:
            digest.update(f"{path}\0none\n".encode())
    return digest.hexdigest()[:32]


def _decode(folder: Path, paths: Sequence[str], workers: int, progress: bool) -> Findings:
    unreadable: dict[str, str] = {}
    sizes: dict[str, str] = {}
    images = _Inspected(folder, paths, _size)
    for path, (reason, size) in _all(images, 64, workers, progress, "image"):
        if reason:
            unreadable[path] = reason
        elif len(sizes) < 3:
            sizes.setdefault(size, path)
    return Findings(unreadable, sizes)


def _all(
    files: "_Inspected", batch_size: int, workers: int, progress: bool, unit: str
) -> Iterator[tuple[str, Any]]:
    """Yield each path and what is found there, by several processes, with a bar for many."""
    loader = DataLoader(
        files,
        batch_size=batch_size,
        num_workers=workers,
        collate_fn=list,
        generator=torch.Generator(),  # of its own: the run's random numbers stay as they are
    )
    bar = tqdm(
        total=len(files),
        desc=f"Checking {unit}s",
        unit=unit,
        leave=False,
        disable=not progress or len(files) <= _FEW[unit],
    )
    with bar:
        for batch in loader:
            yield from batch
            bar.update(len(batch))


class _Inspected(Dataset[tuple[str, Any]]):
    """The path of each file and what a look at it finds."""

    def __init__(self, folder: Path, paths: Sequence[str], look: Callable[[Path], Any]) -> None:
        self.folder, self.paths, self.look = folder, paths, look

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[str, Any]:
        path = self.paths[index]
        return path, self.look(self.folder / path)


def _size(path: Path) -> tuple[str, str]:
    """Return why an image cannot be read, or nothing, and its size."""
    try:
        height, width = inspect_image(path)
    except UnreadableImageError as error:
        return str(error), ""
    return "", f"{height}x{width}"
