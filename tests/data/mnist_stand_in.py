"""Four small files in MNIST's format, with checksums of their own."""

import gzip
import hashlib
from pathlib import Path

import pytest

from lit_intriguing.data import mnist_files


def contents(rows: int) -> dict[str, bytes]:
    """The unpacked files: image r is filled with the byte r % 256, its label is r % 10."""
    made = {}
    for part, count in (("train", rows), ("t10k", 20)):
        size = count.to_bytes(4, "big")
        side = (28).to_bytes(4, "big")
        pixels = b"".join(bytes([row % 256]) * 784 for row in range(count))
        made[f"{part}-images-idx3-ubyte"] = bytes([0, 0, 8, 3]) + size + side + side + pixels
        labels = bytes(row % 10 for row in range(count))
        made[f"{part}-labels-idx1-ubyte"] = bytes([0, 0, 8, 1]) + size + labels
    return made


def write(folder: Path, files: dict[str, bytes], packed: bool = True) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        if packed:
            (folder / f"{name}.gz").write_bytes(gzip.compress(content))
        else:
            (folder / name).write_bytes(content)


def accept(files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the checksums of `files` for the canonical ones."""
    sums = {name: hashlib.md5(content).hexdigest() for name, content in files.items()}
    monkeypatch.setattr(mnist_files, "CHECKSUMS", sums)
