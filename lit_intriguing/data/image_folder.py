"""Images in folders as a Lightning data module."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor, nn
from torch.utils.data import DataLoader

from lit_intriguing.argument_types import checked_arguments
from lit_intriguing.data.file_module import FileDataModule
from lit_intriguing.data.images import classes as classes_of
from lit_intriguing.data.images import files, preparation
from lit_intriguing.data.images.checking import Findings, check_images
from lit_intriguing.data.images.classes import Classes
from lit_intriguing.data.images.dataset import FolderImages, arranged
from lit_intriguing.data.images.labels import class_names, read_labels
from lit_intriguing.data.run import checked_sizes, run_seed
from lit_intriguing.errors import UserError

_NEEDED = {
    "fit": ("train", "validation"),
    "validate": ("validation",),
    "test": ("test",),
    "predict": ("test",),
}


@dataclass(frozen=True)
class _Part:
    """Images of one part, in its own order."""

    folder: Path
    paths: list[str]
    labels: Tensor

    def taken(self, indices: Tensor) -> "_Part":
        """Return the images with these numbers, in that order."""
        return _Part(self.folder, [self.paths[i] for i in indices.tolist()], self.labels[indices])


@checked_arguments
class ImageFolder(FileDataModule):
    """Images in a folder, in class folders or with a file of labels.

    Batches are `(images, labels)`: images `(n, channels, size, size)`, float32, pixels in [0, 1],
    not normalised (`ImageClassifier` does that within the model, so that bounds of attacks stay
    bounds of pixels); labels `(n,)`, int64. Two layouts:

    - divided: `folder/train/CLASS/...`, `folder/val/CLASS/...` (or `validation`),
      `folder/test/CLASS/...`, of which some may be missing;
    - not divided: `folder/CLASS/...`. `validation` and `test` are the shares to hold out.

    With `labels` the images need no class folders. Each part has an order of its own, fixed by
    `split_seed`, in which the classes are mixed; `limit`, and the first images that a command
    takes, are of all classes alike. Random changes of a training image depend on seed, epoch and
    image alone, whatever the number of workers and processes. Other commands than `fit` read the
    training images unchanged.

    Before a run each file is decoded once (the findings are stored until a file changes). How files
    are read: see `lit_intriguing.data.images.reading.read_image`.

    Args:
        folder: Path of the images, also within `$LIT_INTRIGUING_DATA`.
        size: Height and width of the images that the network gets; null for images that have one
            size already, taken as they are.
        resize: Length of the shorter side, to which an image is scaled before the crop (null:
            `size`).
        crop: Of a training image: its center, a random part, or a random part of a random size and
            aspect (random_resized), as networks for ImageNet are trained. Of others the center.
        pad: Black pixels around a training image before its random crop.
        flip: Mirror half of the training images.
        augmentation: A module that changes a training image of 8 bits further: the class path of
            a transform such as `torchvision.transforms.v2.ColorJitter`, whose chance comes from
            torch's global generator.
        channels: 3 for RGB, 1 for grey.
        batch_size: Examples in a training batch, per process.
        eval_batch_size: Examples in a batch of validation, test and prediction, per process; with
            several processes a few more where all could not do as many batches.
        workers: Processes that read images, for each process that trains (null: the machine's
            cores, divided by these, at most 8).
        classes: Names of the classes in the order of their labels, or a file of them: see
            `lit_intriguing.data.images.classes.read_classes` (null: the folders, sorted).
        labels: A file with the class of each image: see
            `lit_intriguing.data.images.labels.read_labels`.
        binary: The class that is told from all others: its label is 1, theirs 0.
        validation: Share of the training images to hold out for validation.
        test: Share to hold out for the test; 1 for a folder that is not divided and only measured.
        limit: Take no more images of each part than that.
        in_memory: Keep each part in memory as it was in the files, for small images.
        unreadable: Leave files out that cannot be read (skip), with a warning, or stop.
        drop_last: Leave out the training examples of an epoch that do not fill a batch.
        seed: Seed of the order and the random changes of training images; None for the run's own
            (`seed_everything`).
        split_seed: Seed of the division into parts and of their order.

    Raises:
        UserError: For options that do not fit together; in `setup`, for a folder without images, or
            classes, labels and parts that do not fit it.
    """

    def __init__(
        self,
        folder: str,
        size: int | None = None,
        resize: int | None = None,
        crop: Literal["center", "random", "random_resized"] = "center",
        pad: int = 0,
        flip: bool = False,
        augmentation: nn.Module | None = None,
        channels: Literal[1, 3] = 3,
        batch_size: int = 128,
        eval_batch_size: int = 250,
        workers: int | None = None,
        classes: str | list[str] | None = None,
        labels: str | None = None,
        binary: str | None = None,
        validation: float = 0.0,
        test: float = 0.0,
        limit: int | None = None,
        in_memory: bool = False,
        unreadable: Literal["skip", "stop"] = "skip",
        drop_last: bool = False,
        seed: int | None = None,
        split_seed: int = 0,
    ) -> None:
        super().__init__()
        checked_sizes(batch_size=batch_size, eval_batch_size=eval_batch_size)
        if limit is not None:
            checked_sizes(limit=limit)
        if not (0 <= validation < 1 and 0 <= test <= 1 and validation + test <= 1):
            raise UserError(
                f"validation {validation} and test {test} are shares of the images, from 0 to 1 "
                "together"
            )
        for name, value in (("seed", seed), ("split_seed", split_seed), ("workers", workers)):
            if value is not None and value < 0:
                raise UserError(f"{name} must not be negative: {value}")
        self._evaluated = preparation.evaluated(size, resize)
        self._augmented = preparation.augmented(size, resize, crop, pad, flip, augmentation)
        self._random = crop != "center" or flip or augmentation is not None
        self.folder, self.size, self.channels = folder, size, channels
        self.batch_size, self.eval_batch_size, self.workers = batch_size, eval_batch_size, workers
        self.classes, self.labels, self.binary = classes, labels, binary
        self.validation, self.test, self.limit = validation, test, limit
        self.unreadable, self.drop_last = unreadable, drop_last
        self.seed, self.split_seed, self.in_memory = seed, split_seed, in_memory
        self._parts: dict[str, _Part] = {}
        self._root: Path | None = None
        self._classes: Classes | None = None
        self._named: dict[str, str] | None = None
        self._read: dict[Path, _Part] = {}
        self._sizes: dict[str, str] = {}

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes in the order of their labels, after `setup`."""
        assert self._classes is not None, "setup comes first"
        return self._classes.names

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an image, after `setup`."""
        height, width = (self.size, self.size) if self.size else self._only_size()
        return (self.channels, height, width)

    def setup(self, stage: str | None = None) -> None:
        """Find the images that `stage` ("fit", "validate", "test", "predict" or None) needs.

        Raises:
            UserError: For a folder without images; classes, labels or parts that do not fit it;
                files that cannot be read if these are to stop the run; images of several sizes
                without `size`.
        """
        self.give_validation_back()
        if self._root is None:
            self._root = files.image_root(self.folder)
        needed = ("train", "validation", "test") if stage is None else _NEEDED[stage]
        for part in needed:
            if part not in self._parts:
                self._find(part, optional=stage is None or (stage, part) == ("fit", "validation"))
        if self.size is None:
            self._only_size()
        if stage == "fit" and "validation" not in self._parts:
            self.switch_validation_off()

    def has_test(self) -> bool:
        """Return whether there are test images, by the folders' names and the share; see `setup`.

        Raises:
            UserError: The folder is missing.
        """
        root = files.image_root(self.folder) if self._root is None else self._root
        return self.test > 0 or "test" in files.part_folders(root)

    def train_dataloader(self) -> "DataLoader[tuple[Tensor, int]]":
        """Return shuffled batches of the training images; augmented where `fit` asks for them."""
        seed = run_seed() if self.seed is None else self.seed
        fitting = self.trainer is None or self.trainer.state.fn in (None, TrainerFn.FITTING)
        dataset = self._dataset("train", seed if fitting and self._random else None, fitting)
        return self.training_loader(dataset, seed, self.batch_size, self.drop_last)

    def val_dataloader(self) -> "DataLoader[tuple[Tensor, int]] | list[Any]":
        """Return batches of the validation images; an empty list if there are none."""
        return self._evaluation("validation") if "validation" in self._parts else []

    def test_dataloader(self) -> "DataLoader[tuple[Tensor, int]]":
        """Return batches of the test images, in their own order."""
        return self._evaluation("test")

    def predict_dataloader(self) -> "DataLoader[tuple[Tensor, int]]":
        """Return batches of the test images, in their own order."""
        return self._evaluation("test")

    def _find(self, part: str, optional: bool) -> None:
        """Put a part into `_parts`."""
        found = self._divided(part)
        if found is not None:
            self._parts[part] = found.taken(torch.arange(len(found.paths))[: self.limit])
        elif not optional:
            raise UserError(_missing(part, str(self._root)))

    def _divided(self, part: str) -> _Part | None:
        assert self._root is not None
        folders = files.part_folders(self._root)
        shares = {"test": self.test, "validation": self.validation}
        twice = [name for name in shares if shares[name] and name in folders]
        if twice:
            raise UserError(
                f"{folders[twice[0]]} holds the {twice[0]} images already: leave the data's "
                f"`{twice[0]}`, a share of the training images, out"
            )
        if part in folders and part != "train":
            return self._images_in(folders[part])
        if folders and "train" not in folders:
            return None
        whole = self._images_in(folders.get("train", self._root))
        sizes = {name: round(share * len(whole.paths)) for name, share in shares.items()}
        if shares.get(part) and not sizes[part]:
            raise UserError(
                f"{part} {shares[part]} of {len(whole.paths)} images leaves none to hold "
                "out: take a larger share"
            )
        first, second = sizes["test"], sizes["test"] + sizes["validation"]
        slices = {"test": (0, first), "validation": (first, second), "train": (second, None)}
        indices = torch.arange(len(whole.paths))[slice(*slices[part])]
        return whole.taken(indices) if len(indices) else None

    def _images_in(self, folder: Path) -> _Part:
        """Return the images that can be read in a folder, in an order with all classes mixed."""
        if folder not in self._read:
            paths = files.images_in(folder)
            labels = self._labels_of(paths, folder)
            findings = self._checked(folder, paths)
            good = [i for i, path in enumerate(paths) if path not in findings.unreadable]
            found = _Part(folder, paths, labels).taken(torch.tensor(good, dtype=torch.long))
            self._read[folder] = found.taken(arranged(found.labels, self.split_seed))
        return self._read[folder]

    def _labels_of(self, paths: list[str], folder: Path) -> Tensor:
        assert self._root is not None
        if self.labels is None:
            names = files.class_folders(folder, paths)
        else:
            names = class_names(self._names_in_file(), paths, folder, self._root)
        if self._classes is None:
            self._classes = self._known_classes()
        return torch.tensor(self._classes.labels_of(names, folder), dtype=torch.long)

    def _names_in_file(self) -> dict[str, str]:
        """Return the class of each image in the file of labels, which is read once."""
        assert self._root is not None
        assert self.labels is not None
        if self._named is None:
            self._named = read_labels(self.labels, self._root)
        return self._named

    def _known_classes(self) -> Classes:
        """Return the classes of the option, of the whole file of labels, or of the folders.

        They are the same whichever part is read first: their order is that of the labels.
        """
        if self.classes is not None:
            known = classes_of.read_classes(self.classes)
        elif self.labels is not None:
            known = classes_of.named_in(self._names_in_file().values(), self.labels)
        else:
            known = self._classes_of_folders()
        return known if self.binary is None else classes_of.one_against_the_rest(known, self.binary)

    def _classes_of_folders(self) -> Classes:
        """Return the classes that are trained on; where there is no such part, those of all."""
        assert self._root is not None
        parts = files.part_folders(self._root)
        if parts and "train" not in parts:
            found = {name for folder in parts.values() for name in files.subfolders(folder)}
            return classes_of.classes_from([[name] for name in sorted(found)], str(self._root))
        training = parts.get("train", self._root)
        folders = files.subfolders(training)
        _check_filled(training, folders)
        return classes_of.classes_from([[name] for name in folders], str(training))

    def _checked(self, folder: Path, paths: list[str]) -> Findings:
        """Decode the files, and refuse or report those that cannot be read."""
        workers = self.worker_count()
        found = self.one_first(lambda first: check_images(folder, paths, workers, progress=first))
        self._sizes |= found.sizes
        if len(found.unreadable) == len(paths):
            raise UserError(f"none of the {len(paths)} images can be read: {_few(found, folder)}")
        if found.unreadable:
            self._report(found, folder, len(paths))
        return found

    def _report(self, found: Findings, folder: Path, count: int) -> None:
        text = f"{len(found.unreadable)} of {count} images cannot be read: {_few(found, folder)}."
        if self.unreadable == "stop":
            raise UserError(f"{text} Remove them, or set the data's `unreadable` to skip")
        rank_zero_warn(f"{text} They are left out; `unreadable: stop` would end the run.")

    def _only_size(self) -> tuple[int, int]:
        if len(self._sizes) > 1:
            two = ", ".join(f"{path} {size}" for size, path in list(self._sizes.items())[:2])
            raise UserError(
                f"the images differ in size ({two}): set the data's `size`, to which they are "
                "scaled and cropped"
            )
        height, width = next(iter(self._sizes)).split("x")
        return int(height), int(width)

    def _dataset(self, part: str, seed: int | None, augment: bool = False) -> FolderImages:
        of = self._parts[part]
        prepare = self._augmented if augment else self._evaluated
        dataset = FolderImages(of.folder, of.paths, of.labels, self.channels, prepare, seed)
        if self.in_memory:
            dataset.keep()
        return dataset

    def _evaluation(self, part: str) -> "DataLoader[tuple[Tensor, int]]":
        return self.evaluation_loader(self._dataset(part, None), self.eval_batch_size)


def _check_filled(training: Path, folders: Sequence[str]) -> None:
    """Refuse a class of which there is no image to train on."""
    empty = [name for name in folders if not any(files.walk(training / name))]
    if empty:
        raise UserError(
            f"{training} has {len(empty)} class folders without images, such as {empty[0]}: fill "
            "them, remove them, or name a list or file of the data's `classes`"
        )


def _few(found: Findings, folder: Path) -> str:
    """Name some files that cannot be read, with the reasons."""
    named = [f"{folder / path} ({why})" for path, why in list(found.unreadable.items())[:3]]
    return "; ".join(named) + ("; ..." if len(found.unreadable) > 3 else "")


def _missing(part: str, root: str) -> str:
    """Say that a part has no images, and what to do."""
    names = " or ".join(files.PART_FOLDERS[part])
    if part == "train":
        return (
            f"no images of {root} are left to train on: it needs a folder train, or shares "
            "`validation` and `test` below 1 together"
        )
    whole = ", or 1 to take all images," if part == "test" else ""
    return (
        f"{root} has no {part} images: give it a folder {names}, or set the data's `{part}` to a "
        f"share such as 0.2{whole} to hold out"
    )
