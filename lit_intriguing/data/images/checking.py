"""All files of a data set decoded once, before a run: which cannot be read, and what sizes."""

import contextlib
import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from lit_intriguing.data.images.reading import UnreadableImageError, inspect_image
from lit_intriguing.data_folder import cache_folder
from lit_intriguing.errors import DamagedFileError
from lit_intriguing.whole_files import read_checked_json, write_checked_json

_FEW = 2_000
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
    store = cache_folder() / "images" / f"{_digest(folder, paths)}.json"
    try:
        return Findings(**read_checked_json(store, "it is made again"))
    except (DamagedFileError, TypeError):  # none, or not one of ours
        found = _decode(folder, paths, workers, progress)
    with contextlib.suppress(OSError):  # a cache that cannot be written: the next run decodes again
        write_checked_json(store, asdict(found))
    return found


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
    loader = DataLoader(
        _Inspected(folder, paths),
        batch_size=64,
        num_workers=workers,
        collate_fn=list,
        generator=torch.Generator(),  # of its own: the run's random numbers stay as they are
    )
    bar = tqdm(
        total=len(paths),
        desc="Checking images",
        unit="image",
        leave=False,
        disable=not progress or len(paths) <= _FEW,
    )
    with bar:
        for batch in loader:
            for path, reason, size in batch:
                if reason:
                    unreadable[path] = reason
                elif len(sizes) < 3:
                    sizes.setdefault(size, path)
            bar.update(len(batch))
    return Findings(unreadable, sizes)


class _Inspected(Dataset[tuple[str, str, str]]):
    """Path, reason why it cannot be read or nothing, and size, of each file."""

    def __init__(self, folder: Path, paths: Sequence[str]) -> None:
        self.folder, self.paths = folder, paths

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[str, str, str]:
        path = self.paths[index]
        try:
            height, width = inspect_image(self.folder / path)
        except UnreadableImageError as error:
            return path, str(error), ""
        return path, "", f"{height}x{width}"
