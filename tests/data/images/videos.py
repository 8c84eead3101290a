"""Tiny videos, made by the tests themselves."""

import importlib
from pathlib import Path

import numpy as np
import pytest

FRAMES_PER_KEY = 5


def av() -> object:
    return pytest.importorskip(
        "av", reason="needs PyAV, the extra `video`: pip install 'lit-intriguing[video]'"
    )


def save_video(path: Path, frames: int, height: int = 24, width: int = 32, first: int = 0) -> Path:
    """A video whose frame i has the grey `5 (first + i)` and a brighter left half."""
    av()
    reader = importlib.import_module("av")
    path.parent.mkdir(parents=True, exist_ok=True)
    with reader.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        # Changes of the light are no new scenes, which would make each frame a key frame.
        stream.options = {"g": str(FRAMES_PER_KEY), "sc_threshold": "1000000000"}
        stream.bit_rate = 4_000_000
        for i in range(frames):
            pixels = np.full((height, width, 3), 5 * (first + i), np.uint8)
            pixels[:, : width // 2] += 40
            for packet in stream.encode(reader.VideoFrame.from_ndarray(pixels, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path


def damage(path: Path, packet: int) -> None:
    """Overwrite one packet of a video."""
    reader = importlib.import_module("av")
    with reader.open(str(path)) as container:
        found = [one for one in container.demux(container.streams.video[0]) if one.size]
        where, size = found[packet].pos, found[packet].size
    content = bytearray(path.read_bytes())
    content[where : where + size] = b"\xff" * size
    path.write_bytes(content)
