"""From an image as it is in the file to the pixels that the network gets."""

from typing import Literal

import torch
from torch import nn
from torchvision.transforms import v2

from lit_intriguing.errors import UserError

Crop = Literal["center", "random", "random_resized"]


def evaluated(size: int | None, resize: int | None) -> nn.Module:
    """Return the preparation without chance: shorter side to `resize`, the centre, [0, 1].

    Args:
        size: Height and width for the network; None for images as they are.
        resize: Shorter side before the crop; None for `size`.

    Raises:
        UserError: If the crop would be larger than the image.
    """
    return _in_a_row([fitted(size, resize)])


def fitted(size: int | None, resize: int | None) -> nn.Module:
    """Return what scales the shorter side and cuts the centre out; see `evaluated`."""
    return nn.Sequential(*_resized(size, resize), *_centre(size))


def scaled() -> nn.Module:
    """Return what makes pixels of float32 in [0, 1]."""
    step: nn.Module = v2.ToDtype(torch.float32, scale=True)
    return step


def augmented(
    size: int | None,
    resize: int | None,
    crop: Crop,
    pad: int,
    flip: bool,
    augmentation: nn.Module | None,
) -> nn.Module:
    """Return the preparation of training images.

    Args:
        size: Height and width for the network; None for images as they are.
        resize: Shorter side before the crop; None for `size`.
        crop: Which part of the image.
        pad: Black pixels around the image before a random crop.
        flip: Mirror half of the images.
        augmentation: Changes the cropped image, of 8 bits, further.

    Raises:
        UserError: For a random crop without a size, or one that leaves nothing to chance.
    """
    if crop != "center" and size is None:
        raise UserError(f"crop {crop} needs the data's `size`: height and width of the crop")
    if pad < 0 or (pad and crop != "random"):
        raise UserError(f"pad {pad}: so many pixels, at least 0, and only for the crop random")
    if crop == "random" and not pad and resize in (None, size):
        raise UserError(
            f"a random crop of {size} pixels from images of {resize or size} is the whole image: "
            "set the data's `resize` above `size`, or `pad`, or take crop random_resized"
        )
    if size is None or crop == "center":
        cropped = [*_resized(size, resize), *_centre(size)]
    elif crop == "random":
        padded = [v2.Pad(pad)] if pad else []
        cropped = [*_resized(size, resize), *padded, v2.RandomCrop(size)]
    else:
        cropped = [v2.RandomResizedCrop(size, antialias=True)]
    flipped = [v2.RandomHorizontalFlip()] if flip else []
    more = [augmentation] if augmentation is not None else []
    return _in_a_row([*cropped, *flipped, *more])


def _resized(size: int | None, resize: int | None) -> list[nn.Module]:
    shorter = size if resize is None else resize
    if shorter is None:
        return []
    if shorter < 1 or (size is not None and not 1 <= size <= shorter):
        raise UserError(
            f"size {size} and resize {resize}: the crop must have at least 1 pixel and no more "
            "than the resized image"
        )
    return [v2.Resize(shorter, antialias=True)]


def _centre(size: int | None) -> list[nn.Module]:
    return [] if size is None else [v2.CenterCrop(size)]


def _in_a_row(steps: list[nn.Module]) -> nn.Module:
    return nn.Sequential(*steps, scaled())
