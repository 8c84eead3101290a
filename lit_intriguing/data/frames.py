"""Frames of videos and of folders of images, without labels, as a Lightning data module."""

from typing import Any, Literal

from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor, nn
from torch.utils.data import DataLoader

from lit_intriguing.argument_types import checked_arguments
from lit_intriguing.data.file_module import FileDataModule
from lit_intriguing.data.images import files, preparation
from lit_intriguing.data.images.frame_dataset import Contrast, FrameImages, PreparedFrames
from lit_intriguing.data.images.frame_list import FrameList, find_frames
from lit_intriguing.data.images.streams import FrameStream, StreamedImages, find_stream, is_stream
from lit_intriguing.data.run import checked_sizes, run_seed
from lit_intriguing.errors import UserError


@checked_arguments
class Frames(FileDataModule):
    """Frames in a folder of images, of videos, or of both, without labels.

    Batches are frames `(n, channels, size, size)`, float32: of each the shorter side is scaled,
    the centre cut out, and the contrast normalised (`Contrast`). Le et al. 2012, "Building
    high-level features using large scale unsupervised learning", trained on one frame of each of
    ten million videos.

    The order of training frames depends on seed and epoch alone, whatever the number of workers
    and processes. Validation frames are the last ones, in the order of the files' paths and of
    time: next to a frame of training lies at most one of them.

    Before a run each file is decoded once (the findings are stored until a file changes). Frames
    that cannot be decoded are left out and counted, with one warning. Videos are read by PyAV, the
    extra `video`: a frame in a random order from the key frame before it, which takes long where
    key frames are rare; `in_memory` reads each video in one pass.

    A data set that `litdata.optimize` has written is streamed (the extra `stream`), in its own
    order: images, uint8 tensors, or tuples or dicts with one first or as `image`. Frames are
    fetched one by one in the random order of training, and decoded for the first time then.

    Args:
        folder: Path of the files, at any depth in it, also within `$LIT_INTRIGUING_DATA`; or of a
            data set of litdata, or its address, such as `s3://bucket/frames`.
        size: Height and width of the frames that the network gets.
        stride: Of the images of each folder within, sorted by name, and of each video the first
            frame and every so many after it; a large one for one frame of each video.
        resize: Length of the shorter side, to which a frame is scaled before the crop (null:
            `size`).
        channels: 3 for RGB, 1 for grey.
        contrast: Normalise the contrast of each frame; else pixels lie in [0, 1].
        batch_size: Frames in a training batch, per process.
        eval_batch_size: Frames in a batch of validation and prediction, per process; with several
            processes a few more where all could not do as many batches.
        workers: Processes that read frames, for each process that trains (null: the machine's
            cores, divided by these, at most 8).
        validation: Share of the frames to hold out for validation.
        limit: Take no more frames of each part than that.
        in_memory: Keep all frames in memory, at their size.
        unreadable: Leave frames out that cannot be decoded (skip), or stop. One of a data set of
            litdata always ends the run.
        drop_last: Leave out the training frames of an epoch that do not fill a batch.
        seed: Seed of the order of training frames; None for the run's own (`seed_everything`).

    Raises:
        UserError: For options out of range; in `setup`, for a folder without frames, videos where
            PyAV is missing, a data set of litdata where that is, or a share that leaves nothing.
    """

    def __init__(
        self,
        folder: str,
        size: int,
        stride: int = 1,
        resize: int | None = None,
        channels: Literal[1, 3] = 3,
        contrast: bool = True,
        batch_size: int = 128,
        eval_batch_size: int = 250,
        workers: int | None = None,
        validation: float = 0.0,
        limit: int | None = None,
        in_memory: bool = False,
        unreadable: Literal["skip", "stop"] = "skip",
        drop_last: bool = False,
        seed: int | None = None,
    ) -> None:
        super().__init__()
        checked_sizes(batch_size=batch_size, eval_batch_size=eval_batch_size, stride=stride)
        if limit is not None:
            checked_sizes(limit=limit)
        if not 0 <= validation < 1:
            raise UserError(f"validation is a share of the frames below 1, not {validation}")
        for name, value in (("seed", seed), ("workers", workers)):
            if value is not None and value < 0:
                raise UserError(f"{name} must not be negative: {value}")
        for name, one, known in (
            ("channels", channels, (1, 3)),
            ("unreadable", unreadable, ("skip", "stop")),
        ):
            if one not in known:
                raise UserError(f"{name} is {known[0]} or {known[1]}, not {one!r}")
        self._fit = preparation.fitted(size, resize)
        self._finish = nn.Sequential(preparation.scaled(), *([Contrast()] if contrast else []))
        self.folder, self.size, self.stride, self.channels = folder, size, stride, channels
        self.batch_size, self.eval_batch_size, self.workers = batch_size, eval_batch_size, workers
        self.validation, self.limit, self.in_memory = validation, limit, in_memory
        self.unreadable, self.drop_last, self.seed = unreadable, drop_last, seed
        self._frames: FrameList | FrameStream | None = None
        self._datasets: dict[str, PreparedFrames] = {}

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of a frame."""
        return (self.channels, self.size, self.size)

    @property
    def frames(self) -> FrameList | FrameStream:
        """All frames that can be decoded, and what cannot, after `setup`."""
        assert self._frames is not None, "setup comes first"
        return self._frames

    def setup(self, stage: str | None = None) -> None:
        """Find the frames.

        Raises:
            UserError: For a folder that is missing or holds no frames; videos without PyAV; frames
                that cannot be decoded if these are to stop the run; a share that leaves none.
        """
        self.give_validation_back()
        if self._frames is None:
            self._frames = self.one_first(self._found)
            self._report()
        held_out, whole = round(self.validation * len(self._frames)), len(self._frames)
        if held_out == whole or (self.validation and not held_out):
            raise UserError(
                f"validation {self.validation} of {whole} frames leaves none to "
                f"{'train on' if held_out else 'validate on'}: take another share"
            )
        if stage == "validate" and not held_out:
            raise UserError("no frames are held out to validate on: set the data's `validation`")
        if stage == "fit" and not held_out:
            self.switch_validation_off()

    def has_test(self) -> bool:
        """Return that there are no test frames: without labels there is nothing to test."""
        return False

    def train_dataloader(self) -> "DataLoader[Tensor]":
        """Return shuffled batches of the training frames."""
        seed = run_seed() if self.seed is None else self.seed
        return self.training_loader(self._part("train"), seed, self.batch_size, self.drop_last)

    def val_dataloader(self) -> "DataLoader[Tensor] | list[Any]":
        """Return batches of the frames held out, in order; an empty list if there are none."""
        if not self.validation:
            return []
        return self.evaluation_loader(self._part("validation"), self.eval_batch_size)

    def predict_dataloader(self) -> "DataLoader[Tensor]":
        """Return batches of all frames, in their order."""
        return self.evaluation_loader(self._part("predict"), self.eval_batch_size)

    def _found(self, first: bool) -> FrameList | FrameStream:
        if is_stream(self.folder):
            return find_stream(self.folder, self.stride)
        root = files.image_root(self.folder)
        if is_stream(str(root)):
            return find_stream(str(root), self.stride)
        return find_frames(root, self.stride, self.worker_count(), progress=first)

    def _part(self, name: str) -> PreparedFrames:
        """Return a part as a data set, once, so that what it keeps in memory is read once."""
        if name not in self._datasets:
            first = len(self.frames) - round(self.validation * len(self.frames))
            parts = {"train": slice(0, first), "validation": slice(first, None)}
            part = self.frames.taken(parts.get(name, slice(None))).taken(slice(self.limit))
            rest = self.channels, self._fit, self._finish
            self._datasets[name] = (
                StreamedImages(part, *rest)
                if isinstance(part, FrameStream)
                else FrameImages(part, *rest)
            )
            if self.in_memory:
                self._datasets[name].keep()
        return self._datasets[name]

    def _report(self) -> None:
        skipped = self.frames.skipped
        if not skipped:
            return
        count = sum(number for number, _ in skipped.values())
        few = [f"{path} ({number}: {why})" for path, (number, why) in list(skipped.items())[:3]]
        text = (
            f"{count} of {count + len(self.frames)} frames in {self.folder} cannot be "
            f"decoded: {'; '.join(few)}{'; ...' if len(skipped) > 3 else ''}."
        )
        if self.unreadable == "stop":
            raise UserError(f"{text} Remove them, or set the data's `unreadable` to skip")
        rank_zero_warn(f"{text} They are left out; `unreadable: stop` would end the run.")
