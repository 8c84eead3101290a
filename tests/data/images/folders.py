"""Small folders of images, made by the tests themselves."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image


def pixels(seed: int, size: int = 8) -> np.ndarray:
    """`(size, size, 3)`, uint8; each seed another image."""
    return np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)


def save(path: Path, seed: int, size: int = 8) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels(seed, size)).save(path)
    return path


def class_folders(root: Path, counts: Mapping[str, int], size: int = 8) -> Path:
    """Writes so many images into each class folder; each is another image."""
    seed = 0
    for name, count in counts.items():
        for i in range(count):
            save(root / name / f"{i:03d}.png", seed, size)
            seed += 1
    return root


def truncated(path: Path, size: int = 64) -> Path:
    """A JPEG of which the second half is lost."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels(7, size)).save(path, "JPEG")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path
