"""Which images a folder holds, in which parts of it, and in which class folders."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from torchvision.datasets.folder import IMG_EXTENSIONS

from lit_intriguing.data_folder import DATA_VARIABLE, data_folder, found_file
from lit_intriguing.errors import UserError

PART_FOLDERS = {"train": ("train",), "validation": ("val", "validation"), "test": ("test",)}
"""What the folders of a divided data set are called."""


def image_root(folder: str | Path) -> Path:
    """Return a folder by its path, else by its path within `$LIT_INTRIGUING_DATA`.

    Raises:
        UserError: If it is at neither place.
    """
    root = found_file(str(folder))
    if not root.is_dir():
        beside = data_folder()
        within = f" or in {beside} (${DATA_VARIABLE})" if beside else ""
        unset = "" if beside else f", or set ${DATA_VARIABLE} to the folder that holds it"
        raise UserError(
            f"no folder of images '{folder}', looked for from {Path.cwd()}{within}: give the "
            f"data's `folder` its whole path{unset}"
        )
    return root


def part_folders(root: Path) -> dict[str, Path]:
    """Return the folders `train`, `val` or `validation`, and `test`, by part; empty without.

    A single one of these names beside other folders is taken for a class: there are trains.

    Raises:
        UserError: If there are both `val` and `validation`.
    """
    there = subfolders(root)
    both = [name for name in PART_FOLDERS["validation"] if name in there]
    if len(both) == 2:
        raise UserError(f"{root} has a folder val and a folder validation: remove one")
    parts = {
        part: root / name for part, names in PART_FOLDERS.items() for name in names if name in there
    }
    return parts if len(parts) > 1 or len(parts) == len(there) else {}


def subfolders(folder: Path) -> list[str]:
    """Return the names of the folders in one, sorted, without hidden ones."""
    with os.scandir(folder) as entries:
        return sorted(one.name for one in entries if one.is_dir() and not one.name.startswith("."))


def images_in(folder: Path) -> list[str]:
    """Return the paths of the images in a folder, at any depth, relative to it and sorted.

    Images are files whose name ends as one of torchvision's `IMG_EXTENSIONS`; hidden ones do not
    count.

    Raises:
        UserError: If there are none.
    """
    found = sorted(walk(folder))
    if not found:
        raise UserError(
            f"{folder} holds no images: files in it, or in folders within, whose names end in "
            f"{', '.join(IMG_EXTENSIONS)}"
        )
    return found


def walk(folder: Path, endings: tuple[str, ...] = IMG_EXTENSIONS) -> Iterator[str]:
    """Yield the paths of the images in a folder, relative to it, in no order.

    Args:
        folder: Looked through to any depth; what is hidden does not count.
        endings: Of the files' names, in small letters.
    """
    for place, folders, files in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            if name.lower().endswith(endings) and not name.startswith("."):
                yield Path(place, name).relative_to(folder).as_posix()


def class_folders(folder: Path, paths: Iterable[str]) -> list[str]:
    """Return the class folder of each image, the first on the way to it.

    Args:
        folder: For the message.
        paths: Relative to it.

    Raises:
        UserError: If an image is in none.
    """
    found = [path.split("/", 1) for path in paths]
    beside = [parts[0] for parts in found if len(parts) == 1]
    if beside:
        raise UserError(
            f"{folder} holds {len(beside)} images outside class folders, such as {beside[0]}: put "
            "each into the folder of its class, or name a file of labels (the data's `labels`)"
        )
    return [parts[0] for parts in found]
