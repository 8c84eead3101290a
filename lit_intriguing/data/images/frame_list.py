"""Which frames a folder of images or videos holds, at a stride."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path, PurePosixPath

import torch
from torch import Tensor
from torchvision.datasets.folder import IMG_EXTENSIONS

from lit_intriguing.data.images.checking import check_images, check_videos
from lit_intriguing.data.images.files import walk
from lit_intriguing.data.images.videos import VIDEO_EXTENSIONS, VideoFrames, check_reader
from lit_intriguing.errors import UserError

AN_IMAGE = -1
"""In the place of a time."""


@dataclass(frozen=True)
class FrameList:
    """Frames in a fixed order: by the files' paths, in a video by time.

    Attributes:
        folder: Of the files.
        paths: Of the files, within it.
        files: Which of them each frame comes from, int64 `(N,)`.
        times: Of each frame within its video, in the stream's units; `AN_IMAGE` for images.
        skipped: How many frames of a file cannot be decoded, and why, by its path.
    """

    folder: Path
    paths: tuple[str, ...]
    files: Tensor
    times: Tensor
    skipped: Mapping[str, tuple[int, str]]

    def __len__(self) -> int:
        return len(self.files)

    def taken(self, which: slice) -> "FrameList":
        """Return a part of the frames."""
        return replace(self, files=self.files[which], times=self.times[which])


def find_frames(folder: Path, stride: int, workers: int, progress: bool) -> FrameList:
    """Return every so many of the frames in a folder, at any depth.

    Each folder within counts by itself, its images sorted by name; so does each video. Each file
    is decoded once, or found as an earlier look has stored it (`check_images`).

    Args:
        folder: Of images, videos, or both.
        stride: Of the frames of a folder or video, the first and every so many after it.
        workers: Processes that decode.
        progress: Show a bar where there is much.

    Raises:
        UserError: If there are neither images nor videos, none of them can be decoded, or there
            are videos and nothing that reads them.
    """
    images = _every(sorted(walk(folder)), stride)
    videos = sorted(walk(folder, VIDEO_EXTENSIONS))
    if not images and not videos:
        raise UserError(
            f"{folder} holds no frames: images ({', '.join(IMG_EXTENSIONS)}) or videos "
            f"({', '.join(VIDEO_EXTENSIONS)}), in it or in folders within"
        )
    if videos:
        check_reader(folder / videos[0])
    unreadable = check_images(folder, images, workers, progress).unreadable if images else {}
    looked = check_videos(folder, videos, workers, progress) if videos else {}
    skipped = {path: (1, why) for path, why in unreadable.items()}
    skipped |= {path: lost for path, one in looked.items() if (lost := _lost(one, stride))[0]}
    times = {path: [AN_IMAGE] for path in images if path not in unreadable}
    times |= {path: _times(one, stride) for path, one in looked.items()}
    return _listed(folder, {path: times[path] for path in sorted(times) if times[path]}, skipped)


def _every(paths: Iterable[str], stride: int) -> list[str]:
    """Return every so many of the files of each folder."""
    groups = groupby(
        sorted(paths, key=lambda path: (_parent(path), path)), key=lambda path: _parent(path)
    )
    return [path for _, group in groups for path in list(group)[::stride]]


def _parent(path: str) -> str:
    return str(PurePosixPath(path).parent)


def _times(video: VideoFrames, stride: int) -> list[int]:
    pairs = zip(video.times, video.places, strict=True)
    return [time for time, place in pairs if place % stride == 0]


def _lost(video: VideoFrames, stride: int) -> tuple[int, str]:
    """Return how many of the wanted frames cannot be decoded; of a file that cannot be read, 1."""
    if video.error:
        return 1, video.error
    wanted = -(-(len(video.times) + video.broken) // stride)
    return wanted - len(_times(video, stride)), "damaged"


def _listed(
    folder: Path, times: Mapping[str, Sequence[int]], skipped: Mapping[str, tuple[int, str]]
) -> FrameList:
    if not times:
        path, (_, why) = next(iter(skipped.items()))
        raise UserError(f"none of the frames in {folder} can be decoded: {path} ({why})")
    counts = torch.tensor([len(one) for one in times.values()])
    return FrameList(
        folder,
        tuple(times),
        torch.arange(len(counts)).repeat_interleave(counts),
        torch.tensor([time for one in times.values() for time in one], dtype=torch.int64),
        skipped,
    )
