"""Frames that litdata streams (the extra `stream`), each by its number."""

import importlib
import importlib.util
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.transforms.v2 import functional

from lit_intriguing.data.images.dataset import names_as_bytes
from lit_intriguing.data.images.frame_dataset import PreparedFrames
from lit_intriguing.data.images.reading import MODES
from lit_intriguing.errors import UserError

_ADDRESS = re.compile(r"[a-z0-9]+://|local:")
_KEYS = ("image", "frame")


@dataclass(frozen=True)
class FrameStream:
    """Frames of a data set of litdata, in its own order.

    Attributes:
        source: Address or folder.
        chunks: Names of its files.
        numbers: Of the frames within the data set, int64 `(N,)`.
        skipped: Nothing: a frame that cannot be decoded ends the run.
    """

    source: str
    chunks: tuple[str, ...]
    numbers: Tensor
    skipped: Mapping[str, tuple[int, str]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.numbers)

    def taken(self, which: slice) -> "FrameStream":
        """Return a part of the frames."""
        return replace(self, numbers=self.numbers[which])


class StreamedImages(PreparedFrames):
    """Frames of a data set of litdata, which each process opens for itself.

    Args:
        frames: Which.
        channels: 3 for RGB, 1 for grey.
        fit: From a frame as it is in the data set to one of the wanted size.
        finish: From that to what the network gets.
    """

    def __init__(
        self, frames: FrameStream, channels: int, fit: nn.Module, finish: nn.Module
    ) -> None:
        super().__init__(fit, finish)
        self.frames, self.channels = frames, channels
        self._opened: tuple[int, Any] | None = None

    def __len__(self) -> int:
        return len(self.frames)

    def identity(self) -> tuple[Tensor, ...]:
        """Return the files' names, as bytes, and the number of each frame in the data set."""
        return names_as_bytes(self.frames.chunks), self.frames.numbers

    def read(self, index: int) -> Tensor:
        """Return a frame as it is in the data set."""
        if self._opened is None or self._opened[0] != os.getpid():
            self._opened = os.getpid(), _open(self.frames.source)
        number = int(self.frames.numbers[index])
        try:
            return _pixels(_frame(self._opened[1][number]), self.channels)
        except (OSError, RuntimeError, TypeError, ValueError) as error:
            raise UserError(
                f"item {number} of {self.frames.source} is no frame ({error}): write images, uint8 "
                "tensors (channels, height, width), or tuples or dicts with one first or as 'image'"
            ) from error

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_opened": None}


def is_stream(folder: str) -> bool:
    """Return whether a folder or address is that of a data set of litdata."""
    if _ADDRESS.match(folder):
        return True
    try:
        written = json.loads((Path(folder) / "index.json").read_text())
        return isinstance(written, dict) and {"chunks", "config"} <= written.keys()
    except (OSError, ValueError):
        return False


def find_stream(source: str, stride: int) -> FrameStream:
    """Return every so many of the frames of a data set of litdata.

    Raises:
        UserError: litdata is not installed, or cannot read it, or there are no frames in it.
    """
    opened = _open(source)
    count = sum(end - first for first, end in opened.region_of_interest)
    if count == 0:
        raise UserError(f"{source} holds no frames")
    return FrameStream(source, tuple(opened.subsampled_files), torch.arange(0, count, stride))


def _open(source: str) -> Any:
    if importlib.util.find_spec("litdata") is None:
        raise UserError(
            f"{source} is a data set of litdata, which is not installed: "
            "pip install 'lit-intriguing[stream]', or pip install litdata"
        )
    # Else some versions ask the package index for a later one, in each process.
    os.environ.setdefault("LITDATA_DISABLE_VERSION_CHECK", "1")
    try:
        return importlib.import_module("litdata").StreamingDataset(source)
    except (OSError, ValueError, RuntimeError) as error:
        raise UserError(f"litdata cannot read {source}: {error}") from error


def _frame(item: Any) -> Any:
    if isinstance(item, Mapping):
        keys = [key for key in _KEYS if key in item]
        return item[keys[0]] if keys else None
    return item[0] if isinstance(item, tuple | list) and item else item


def _pixels(frame: Any, channels: int) -> Tensor:
    """Return `(channels, height, width)`, uint8 or float."""
    if isinstance(frame, Image.Image):
        pixels: Tensor = functional.pil_to_tensor(frame.convert(MODES[channels]))
        return pixels
    if isinstance(frame, np.ndarray):
        frame = torch.from_numpy(frame)
    if not isinstance(frame, Tensor) or frame.ndim != 3 or frame.shape[0] not in (1, 3):
        shape = f" of shape {tuple(frame.shape)}" if hasattr(frame, "shape") else ""
        raise ValueError(f"{type(frame).__name__}{shape}")
    if frame.dtype != torch.uint8 and not frame.is_floating_point():
        raise ValueError(f"its values are {frame.dtype}")
    if frame.shape[0] == channels:
        return frame
    grey = channels == 1
    return functional.rgb_to_grayscale(frame) if grey else frame.expand(3, -1, -1)
