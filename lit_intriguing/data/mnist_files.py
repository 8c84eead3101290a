"""Where MNIST's files are, whether they are the original ones, and how to download them."""

import gzip
import hashlib
import http.client
import socket
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from torch import Tensor

from lit_intriguing.data.idx import parse_idx
from lit_intriguing.data_folder import DATA_VARIABLE, cache_folder, data_folder
from lit_intriguing.errors import UserError

# md5 of the unpacked files; packing again changes the .gz files but not these.
CHECKSUMS = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}
_SUBFOLDERS = ("MNIST/raw", "raw", ".")
_CONNECT_SECONDS = 20.0


def places(data_dir: str | Path | None) -> list[Path]:
    """Return the folders to search: `data_dir`, `$LIT_INTRIGUING_DATA`, the user's cache."""
    given = None if data_dir is None else Path(data_dir).expanduser()
    return [place for place in (given, data_folder(), cache_folder()) if place is not None]


def find(data_dir: str | Path | None) -> dict[str, Path] | None:
    """Return the path of each file, from the first folder that has all four; None if none has.

    The files may be unpacked or end in `.gz`, and be in the folder itself or in its subfolders
    `MNIST/raw` or `raw`.
    """
    for place in places(data_dir):
        for folder in (place / subfolder for subfolder in _SUBFOLDERS):
            paths = {name: _either(folder / name) for name in CHECKSUMS}
            found = {name: path for name, path in paths.items() if path is not None}
            if len(found) == len(CHECKSUMS):
                return found
    return None


def require(data_dir: str | Path | None) -> dict[str, Path]:
    """Return the path of each file, as `find` does.

    Raises:
        UserError: If no folder has the files; the message names the ways out.
    """
    paths = find(data_dir)
    if paths is None:
        raise UserError(_ways_out(data_dir, "not found"))
    return paths


def read(name: str, path: Path) -> Tensor:
    """Return the contents of one of the files, uint8, checked against its checksum.

    Raises:
        UserError: If it is not the original file, or cannot be read.
    """
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (EOFError, zlib.error, OSError) as error:
        raise UserError(
            f"{path} cannot be read ({error}; md5 of the unpacked file should be "
            f"{CHECKSUMS[name]}): delete it, and it is downloaded again, or replace it"
        ) from error
    checksum = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if checksum != CHECKSUMS[name]:
        raise UserError(
            f"{path} is not MNIST's original file: md5 of its contents is {checksum}, not "
            f"{CHECKSUMS[name]}: delete it, and it is downloaded again, or replace it"
        )
    return parse_idx(content)


def download(data_dir: str | Path | None) -> None:
    """Download the files with torchvision, with its progress bar, into the user's cache.

    Args:
        data_dir: Folder that was searched, for the message.

    Raises:
        UserError: If it failed; the message names the ways out.
    """
    import torchvision

    target = cache_folder() / "MNIST" / "raw"
    try:
        target.mkdir(parents=True, exist_ok=True)
        # Through a folder of its own: an interrupted download leaves no half file.
        with tempfile.TemporaryDirectory(dir=target.parent) as scratch, _connect_timeout():
            torchvision.datasets.MNIST(scratch, download=True)
            for path in Path(scratch).glob("MNIST/raw/*.gz"):
                path.replace(target / path.name)
    except (OSError, RuntimeError, EOFError, http.client.HTTPException) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(
            _ways_out(data_dir, f"not found, and the download failed: {reason}")
        ) from error


def _either(path: Path) -> Path | None:
    packed = path.with_name(path.name + ".gz")
    return path if path.is_file() else packed if packed.is_file() else None


@contextmanager
def _connect_timeout() -> Iterator[None]:
    """Limit the time to connect: a network that drops packets would block for minutes."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_CONNECT_SECONDS)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _ways_out(data_dir: str | Path | None, what: str) -> str:
    searched = ", ".join(str(place) for place in places(data_dir))
    names = ", ".join(f"{name}.gz" for name in CHECKSUMS)
    return (
        f"MNIST: {what} (searched: {searched}). Three ways out:\n"
        f"  1. put {names} (or the unpacked files) into {cache_folder() / 'MNIST' / 'raw'}\n"
        f"  2. set {DATA_VARIABLE} to a folder that holds them\n"
        "  3. train on the digits that need no download: "
        "lightning fit --config recipes/adv_digits.yaml"
    )
