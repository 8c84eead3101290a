"""Many images in one picture: an axis for each would take seconds to lay out."""

from collections.abc import Callable, Sequence

import torch
from matplotlib.axes import Axes
from torch import Tensor

from lit_intriguing.figures.digits import as_images

PHOTOGRAPH = 64
"""Pixels across from which images are drawn as photographs: larger, and smoothed."""

Corner = Callable[[int, int], tuple[int, int]]


def coloured(batch: Tensor) -> Tensor:
    """Return images as RGB, (N, H, W, 3) in [0, 1].

    Args:
        batch: See `as_images`. Values outside [0, 1] become black or white.
    """
    images = as_images(batch).clamp(0, 1)
    return images if images.ndim == 4 else images.unsqueeze(-1).expand(-1, -1, -1, 3)


def pasted(parts: Sequence[Tensor], corner: Corner, size: tuple[int, int]) -> Tensor:
    """Paste images on white.

    Args:
        parts: Images that belong together, each (N, H, W, 3): originals, differences, ...
        corner: Gives the upper left pixel, y and x, of a part of an example, by the example's
            number and the part's.
        size: Height and width of the whole.

    Returns:
        The picture, (*size, 3).
    """
    picture = torch.ones(*size, 3)
    height, width = parts[0].shape[1:3]
    for part, images in enumerate(parts):
        for number, image in enumerate(images):
            y, x = corner(number, part)
            picture[y : y + height, x : x + width] = image
    return picture


def show(axis: Axes, picture: Tensor, width: int) -> None:
    """Draw a picture of images that are `width` pixels wide: few pixels sharp, many smoothed."""
    axis.imshow(picture.numpy(), interpolation="nearest" if width < PHOTOGRAPH else "antialiased")
    axis.set(xticks=[], yticks=[])


def pixels_of(share: float, width: int, least: int = 1) -> int:
    """Return a share of an image's width in whole pixels."""
    return max(least, round(share * width))


def write(
    axis: Axes, text: str, place: tuple[float, float], size: float, colour: str, up: bool = False
) -> None:
    """Write text below a pixel, or above it.

    Args:
        axis: Where.
        text: One line or several.
        place: The pixel's x and y; text begins 3 points from it.
        size: Of the font, in points.
        colour: Of the text.
        up: Whether it stands above.
    """
    axis.annotate(
        text, place, xytext=(0, 3 if up else -3), textcoords="offset points", ha="center",
        va="bottom" if up else "top", fontsize=size, color=colour, annotation_clip=False,
    )  # fmt: skip
