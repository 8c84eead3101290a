"""The filters of a layer that looks at images, side by side."""

import torch
from matplotlib.figure import Figure
from torch import Tensor

from lit_intriguing.figures.canvas import INK, new_figure
from lit_intriguing.figures.digits import as_images


def filters_figure(filters: Tensor, caption: str = "", *, columns: int = 20) -> Figure:
    """Draw each filter as an image, grey where its weight is 0.

    Each is scaled by its own largest absolute weight: white for the largest positive one, black for
    the negative.

    Args:
        filters: (units, D) with D a square, (units, H, W) or (units, 1, H, W).
        caption: A line below.
        columns: Filters side by side, where there are so many.

    Returns:
        The figure.

    Raises:
        ValueError: There is no filter, they are of another shape, or `columns` is not positive.
    """
    if columns < 1:
        raise ValueError(f"columns must be at least 1, not {columns}")
    images = as_images(filters)
    if images.ndim != 3:
        raise ValueError(f"filters of shape {tuple(filters.shape)} have colours: give one channel")
    mosaic = _mosaic(images, min(columns, len(images)))
    height, width = mosaic.shape
    figure = new_figure(8.0, 8.0 * height / width + 0.3)
    axis = figure.subplots()
    axis.imshow(mosaic.numpy(), cmap="gray", vmin=-1, vmax=1, interpolation="nearest")
    axis.axis("off")
    figure.supxlabel(caption, fontsize=7, color=INK)
    return figure


def _mosaic(images: Tensor, columns: int) -> Tensor:
    """Return (units, H, W) as one image, a white line between."""
    count, height, width = images.shape
    largest = images.abs().amax((1, 2), keepdim=True).clamp_min(torch.finfo(torch.float32).tiny)
    rows = -(-count // columns)
    cells = torch.ones(rows * columns, height + 1, width + 1)
    cells[:count, :height, :width] = images / largest
    grid = cells.view(rows, columns, height + 1, width + 1).transpose(1, 2)
    return grid.reshape(rows * (height + 1), columns * (width + 1))[:-1, :-1]
