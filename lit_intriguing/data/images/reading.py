"""An image file as a tensor, whatever its mode, or the reason why it cannot be one."""

import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torchvision.transforms.v2 import functional

MODES = {1: "L", 3: "RGB"}
"""Pillow's name of an image of 8 bits, by the number of channels."""

_ORIENTATION = 0x0112
_DEEPEST = 65_535
_BROKEN = (
    OSError,
    SyntaxError,  # what Pillow says of a broken PNG
    ValueError,
    EOFError,
    IndexError,
    struct.error,
    Image.DecompressionBombError,
)


class UnreadableImageError(Exception):
    """An image file that cannot be read; the message says why."""


def read_image(path: Path, channels: int = 3) -> Tensor:
    """Read an image as a viewer shows it.

    Grey, palette and CMYK images become RGB; of 16 bits grey, all bits count; transparent pixels
    lie on white; a turn that EXIF asks for is made; of several frames the first is taken.

    Args:
        path: The file.
        channels: 3 for RGB, 1 for grey.

    Returns:
        `(channels, height, width)`: uint8, or float32 in [0, 1] where the file has 16 bits.

    Raises:
        UnreadableImageError: If the file is damaged, or its values have no known range.
    """
    with _opened(path) as image:
        return _pixels(image, channels)


def inspect_image(path: Path) -> tuple[int, int]:
    """Decode a whole file, JPEG at an eighth of its size, and return height and width.

    Raises:
        UnreadableImageError: As `read_image`.
    """
    with _opened(path) as image:
        width, height = image.size
        image.draft("RGB", (1, 1))
        _pixels(image, 3)
        return (width, height) if _orientation(image) >= 5 else (height, width)


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "(Possibly c|C)orrupt EXIF data")
            with Image.open(path) as image:
                yield image
    except _BROKEN as error:
        text = " ".join(str(error).replace(str(path), path.name).split())
        raise UnreadableImageError(text or type(error).__name__) from error


def _pixels(image: Image.Image, channels: int) -> Tensor:
    image.load()
    if _orientation(image) != 1:
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith(("I", "F")):
        return _deep(image).expand(channels, -1, -1)
    if image.mode in ("LA", "La", "PA", "RGBa", "RGBA") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    pixels: Tensor = functional.pil_to_tensor(image.convert(MODES[channels]))
    return pixels


def _deep(image: Image.Image) -> Tensor:
    """Return grey of more than 8 bits, `(1, height, width)`; Pillow would cut off above 255."""
    values = torch.from_numpy(np.asarray(image).astype(np.float32))
    low, high = float(values.min()), float(values.max())
    if image.mode == "F" or low < 0 or high > _DEEPEST:
        raise ValueError(
            f"values from {low:g} to {high:g} of mode {image.mode}, whose black and white are not "
            "known: store it with 8 or 16 bits"
        )
    return values.div_(_DEEPEST).unsqueeze(0)


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except (*_BROKEN, TypeError):  # damaged EXIF; the picture itself may be whole
        return 1
