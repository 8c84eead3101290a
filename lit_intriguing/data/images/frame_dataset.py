"""Frames of images and videos as a torch data set."""

import torch
from torch import Tensor, nn

from lit_intriguing.data.images.dataset import EpochDataset, names_as_bytes
from lit_intriguing.data.images.frame_list import AN_IMAGE, FrameList
from lit_intriguing.data.images.reading import UnreadableImageError, read_image
from lit_intriguing.data.images.videos import read_frame, read_frames
from lit_intriguing.errors import UserError


class PreparedFrames(EpochDataset):
    """Frames `(channels, height, width)`, float32, without labels, read one by one.

    Args:
        fit: From a frame as it is stored to one of the wanted size.
        finish: From that to what the network gets.
    """

    def __init__(self, fit: nn.Module, finish: nn.Module) -> None:
        self.fit, self.finish = fit, finish
        self._kept: list[Tensor] | None = None

    def __getitem__(self, index: int) -> Tensor:
        frame: Tensor = self.finish(
            self.fit(self.read(index)) if self._kept is None else self._kept[index]
        )
        return frame

    def read(self, index: int) -> Tensor:
        """Return a frame as it is stored."""
        raise NotImplementedError

    def keep(self) -> None:
        """Read all frames now, and keep them at their size."""
        self._kept = [self.fit(self.read(index)) for index in range(len(self))]


class FrameImages(PreparedFrames):
    """Frames of images and videos in a folder.

    Args:
        frames: Which.
        channels: 3 for RGB, 1 for grey.
        fit: From a frame as it is in the file to one of the wanted size.
        finish: From that to what the network gets.
    """

    def __init__(self, frames: FrameList, channels: int, fit: nn.Module, finish: nn.Module) -> None:
        super().__init__(fit, finish)
        self.frames, self.channels = frames, channels

    def __len__(self) -> int:
        return len(self.frames)

    def identity(self) -> tuple[Tensor, ...]:
        """Return the files' names, as bytes, and which frame of which file each example is."""
        return names_as_bytes(self.frames.paths), self.frames.files, self.frames.times

    def read(self, index: int) -> Tensor:
        """Return a frame as it is in its file."""
        return self._read_file(int(self.frames.files[index]), int(self.frames.times[index]))

    def keep(self) -> None:
        """Read all frames now, each video in one pass, and keep them at their size."""
        kept = list[Tensor]()
        for file in sorted(set(self.frames.files.tolist())):
            times = self.frames.times[self.frames.files == file].tolist()
            kept.extend(self._all_of(file, times))
        self._kept = kept

    def _all_of(self, file: int, times: list[int]) -> list[Tensor]:
        path = self.frames.folder / self.frames.paths[file]
        if times == [AN_IMAGE]:
            return [self.fit(self._read_file(file, AN_IMAGE))]
        wanted = set(times)
        found = {time: self.fit(one) for time, one in read_frames(path, wanted, self.channels)}
        if set(found) != wanted:
            raise _changed(str(path), f"{len(wanted) - len(found)} frames less")
        return [found[time] for time in times]

    def _read_file(self, file: int, time: int) -> Tensor:
        path = self.frames.folder / self.frames.paths[file]
        try:
            if time == AN_IMAGE:
                return read_image(path, self.channels)
            return read_frame(path, time, self.channels)
        except UnreadableImageError as error:
            raise _changed(str(path), str(error)) from error


def _changed(path: str, why: str) -> UserError:
    return UserError(f"{path} cannot be read any more ({why}): it could when the run began")


class Contrast(nn.Module):
    """Contrast normalisation of an image: `(x - mean) / sqrt(variance + least)` of all its pixels.

    Coates et al. 2011, "An analysis of single-layer networks in unsupervised feature learning",
    section 3.2.1, with their 10 for pixels from 0 to 255; a flat image becomes zero.

    Example:
        >>> Contrast()(torch.tensor([[[0.0, 1.0]]])).tolist()[0][0][1] < 1
        True
    """

    least: float = 10 / 255**2

    def forward(self, image: Tensor) -> Tensor:
        """Normalise `(channels, height, width)`, float, pixels in [0, 1]."""
        centred = image - image.mean()
        normalised: Tensor = centred * torch.rsqrt(centred.square().mean() + self.least)
        return normalised
