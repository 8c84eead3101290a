"""The frames of a video file, read by PyAV (the extra `video`), each by its time."""

import importlib
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lit_intriguing.data.images.reading import UnreadableImageError
from lit_intriguing.errors import UserError

VIDEO_EXTENSIONS = (
    ".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ogv", ".ts", ".webm", ".wmv",
)  # fmt: skip
_FORMATS = {1: "gray", 3: "rgb24"}


@dataclass(frozen=True)
class VideoFrames:
    """What a look at a whole video has found.

    Attributes:
        times: Of each frame that can be decoded, in the order of showing, in the stream's units.
        places: Which frame of the video each is, those counted that cannot be decoded.
        broken: How many cannot be decoded.
        error: Why nothing can be read; empty where something can.
    """

    times: tuple[int, ...] = ()
    places: tuple[int, ...] = ()
    broken: int = 0
    error: str = ""


def check_reader(example: Path) -> None:
    """Refuse videos where PyAV is missing.

    Args:
        example: One of the videos, for the message.

    Raises:
        UserError: With the command that installs it.
    """
    if importlib.util.find_spec("av") is None:
        raise UserError(
            f"{example} is a video, and PyAV, which reads it, is not installed: "
            "pip install 'lit-intriguing[video]', or pip install av"
        )


def look_through(path: Path) -> VideoFrames:
    """Decode a whole video and return what there is in it."""
    times = list[int | None]()
    try:
        with _opened(path) as container:
            for frame in _frames(container):
                times.append(None if frame is None else frame.pts)
    except UnreadableImageError as error:
        return VideoFrames(error=str(error))
    found = {time: place for place, time in enumerate(times) if time is not None}
    # Shown in the order of their times, which decoders keep, but damage may disturb.
    ordered = sorted(found)
    return VideoFrames(tuple(ordered), tuple(found[time] for time in ordered), times.count(None))


def read_frame(path: Path, time: int, channels: int = 3) -> Tensor:
    """Read one frame: from the key frame before it, or else from the beginning.

    Args:
        path: The video.
        time: One of `VideoFrames.times`.
        channels: 3 for RGB, 1 for grey.

    Returns:
        `(channels, height, width)`, uint8.

    Raises:
        UnreadableImageError: If there is no such frame any more.
    """
    with _opened(path) as container:
        for seek in (True, False):
            if seek:
                container.seek(time, stream=container.streams.video[0])
            else:
                container.seek(0)
            for frame in _frames(container):
                if frame is None or frame.pts is None:
                    continue
                if frame.pts == time:
                    return _pixels(frame, channels)
                if frame.pts > time:
                    break
    raise UnreadableImageError(f"no frame at time {time}")


def read_frames(path: Path, times: set[int], channels: int = 3) -> Iterator[tuple[int, Tensor]]:
    """Yield several frames of a video with their times, all in one pass."""
    with _opened(path) as container:
        for frame in _frames(container):
            if frame is not None and frame.pts in times:
                yield frame.pts, _pixels(frame, channels)


def _opened(path: Path) -> Any:
    av = importlib.import_module("av")
    try:
        container = av.open(str(path))
    except (av.FFmpegError, OSError, ValueError) as error:
        raise UnreadableImageError(_first_words(error, path)) from error
    if not container.streams.video:
        container.close()
        raise UnreadableImageError("it holds no pictures")
    return container


def _frames(container: Any) -> Iterator[Any]:
    """Yield the frames, and None for each that cannot be decoded.

    Also for those behind a damaged one, up to the next key frame: they are changes of it.
    """
    av = importlib.import_module("av")
    packets, whole = container.demux(container.streams.video[0]), True
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except av.FFmpegError:  # the file ends amid a packet
            yield None
            return
        try:
            for frame in packet.decode():
                whole = (whole or frame.key_frame) and not frame.is_corrupt
                yield frame if whole else None
        except av.FFmpegError:
            whole = False
            yield None


def _pixels(frame: Any, channels: int) -> Tensor:
    pixels = torch.from_numpy(frame.to_ndarray(format=_FORMATS[channels]))
    return pixels.unsqueeze(0) if pixels.ndim == 2 else pixels.permute(2, 0, 1).contiguous()


def _first_words(error: Exception, path: Path) -> str:
    text = " ".join(str(error).replace(str(path), path.name).split())
    return text or type(error).__name__
