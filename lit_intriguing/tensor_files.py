"""Files of tensors, checked for damage before they are read."""

import zipfile
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from lit_intriguing.errors import DamagedFileError


def read_tensors(path: Path, way_out: str, *, weights_only: bool = True, mmap: bool = False) -> Any:
    """Read what `torch.save` wrote, onto the CPU, after a look at the checksums in the file.

    `torch.load` does not look at them: a single bit that flipped on a disk would change a weight or
    an example without a word.

    Args:
        path: The file.
        way_out: What a user can do about a damaged file, the end of the message.
        weights_only: Whether it may hold only tensors and plain values; False runs code in it.
        mmap: Leave tensors on disk until they are used.

    Raises:
        DamagedFileError: The file was cut or changed.
    """
    check_archive(path, way_out)
    try:
        return torch.load(path, map_location="cpu", weights_only=weights_only, mmap=mmap)
    except RuntimeError as error:
        # Of the index at the file's end Python reads less than torch, whose text is long.
        if "PytorchStreamReader" not in str(error):
            raise
        raise DamagedFileError(f"{path} is damaged (the index of its contents): {way_out}.") from (
            error
        )


def check_archive(path: Path, way_out: str) -> None:
    """Raise if a file that `torch.save` or `numpy.savez` wrote is not as it was written.

    Both write zip files, in which each tensor has a checksum. Other files, such as what
    `torch.save` wrote before 2020, are left to the reader.

    Args:
        path: The file.
        way_out: See `read_tensors`.

    Raises:
        DamagedFileError: The file was cut or changed.
    """
    if not _begins_as_archive(path):
        return
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except Exception as error:  # of many kinds, such as UnicodeDecodeError of a damaged name
        raise DamagedFileError(f"{path} is damaged ({error}): {way_out}.") from error
    if damaged is not None:
        raise DamagedFileError(f"{path} is damaged (checksum of {damaged}): {way_out}.")


def why_refused(error: Exception) -> str:
    """Return why torch refused a file, without its advice to let the file run code."""
    if isinstance(error, UnpicklingError) and "weights_only" in str(error):
        return (
            "it holds more than tensors and plain values, and reading that would run code that is "
            "in it. Where you trust the file, --weights_only=false reads it"
        )
    return " ".join(str(error).split())[:200]


def _begins_as_archive(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"PK\x03\x04"
