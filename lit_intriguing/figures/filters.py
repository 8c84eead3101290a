"""The filters of a layer that looks at images, side by side."""

import torch
from matplotlib.figure import Figure
from torch import Tensor

from lit_intriguing.figures.canvas import INK, new_figure
from lit_intriguing.figures.digits import as_images


def filters_figure(
    filters: Tensor, caption: str = "", *, columns: int = 20, one_scale: bool = False
) -> Figure:
    """Draw each filter as an image, grey where its weight is 0.

    Each is scaled by its own largest absolute weight: white for the largest positive one, black for
    the negative; or all by that of all, so that weak filters look weak.

    Args:
        filters: (units, D) with D a square, (units, H, W), (units, 1, H, W), or (units, 3, H, W),
            whose channels are drawn as red, green and blue.
        caption: A line below.
        columns: Filters side by side, where there are so many.
        one_scale: Whether all have one scale.

    Returns:
        The figure.

    Raises:
        ValueError: There is no filter, they are of another shape, or `columns` is not positive.
    """
    if columns < 1:
        raise ValueError(f"columns must be at least 1, not {columns}")
    mosaic = _mosaic(_scaled(as_images(filters), one_scale), min(columns, len(filters)))
    height, width = mosaic.shape[:2]
    figure = new_figure(8.0, 8.0 * height / width + 0.3)
    axis = figure.subplots()
    shown = mosaic if mosaic.ndim == 2 else (mosaic + 1) / 2  # colours lie in [0, 1]
    axis.imshow(shown.numpy(), cmap="gray", vmin=-1, vmax=1, interpolation="nearest")
    axis.axis("off")
    figure.supxlabel(caption, fontsize=7, color=INK)
    return figure


def strongest(filters: Tensor, count: int) -> Tensor:
    """Return the filters of the largest norm, strongest first.

    Args:
        filters: (units, ...).
        count: Of them; all where there are fewer.
    """
    order = filters.detach().flatten(1).norm(dim=1).argsort(descending=True)
    return filters.detach()[order[:count]]


def _scaled(images: Tensor, one_scale: bool) -> Tensor:
    largest = images.abs().flatten(1).amax(1)
    largest = largest.amax().expand_as(largest) if one_scale else largest
    each = largest.clamp_min(torch.finfo(torch.float32).tiny)
    return images / each.view(-1, *(1,) * (images.ndim - 1))


def _mosaic(images: Tensor, columns: int) -> Tensor:
    """Return (units, H, W), perhaps with colours last, as one image, a white line between."""
    count, height, width, *colours = images.shape
    rows = -(-count // columns)
    cells = torch.ones(rows * columns, height + 1, width + 1, *colours)
    cells[:count, :height, :width] = images
    grid = cells.view(rows, columns, height + 1, width + 1, *colours).transpose(1, 2)
    return grid.reshape(rows * (height + 1), columns * (width + 1), *colours)[:-1, :-1]
