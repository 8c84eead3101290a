"""Pictures as parts of the page, no larger than it may be."""

import base64
import io
from collections.abc import Iterator
from pathlib import Path

from PIL import Image, UnidentifiedImageError

BUDGET = 10_000_000
"""Bytes of all pictures; a page holds them as text, which takes a third more."""
LARGEST = 400_000
"""Bytes of one picture, at most."""
WIDTHS = (1600, 1200, 900, 600, 400, 250)
"""Tried from the first until a picture is small enough."""
NONE = ""


def share_of(pictures: int) -> int:
    """Return the bytes that one of so many pictures may have."""
    return min(LARGEST, BUDGET // max(pictures, 1))


def data_uri(content: Path | bytes, limit: int) -> str:
    """Return a picture as a data URI; `NONE` where it cannot be read.

    One that is too large is made smaller, and where a PNG is still too large, a JPEG.

    Args:
        content: A file, or the bytes of one.
        limit: Bytes.
    """
    try:
        data = content.read_bytes() if isinstance(content, Path) else content
        with Image.open(io.BytesIO(data)) as picture:
            picture.load()
            if len(data) <= limit and picture.format == "PNG":
                return _uri("png", data)
            for kind, smaller in _smaller(picture):
                if len(smaller) <= limit:
                    return _uri(kind, smaller)
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError):
        return NONE
    return NONE


def _smaller(picture: Image.Image) -> Iterator[tuple[str, bytes]]:
    whole = picture.convert("RGB")
    for width in WIDTHS:
        size = min(width, whole.width)
        height = max(1, round(whole.height * size / whole.width))
        resized = whole.resize((size, height), Image.Resampling.LANCZOS)
        for kind, options in (("png", {"optimize": True}), ("jpeg", {"quality": 82})):
            buffer = io.BytesIO()
            resized.save(buffer, kind, **options)
            yield kind, buffer.getvalue()


def _uri(kind: str, data: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
