"""Figures that no window system and no global state know about."""

import io

import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

INK = "#222222"
GREY = "#8a8a8a"
PALETTE = ("#2b6cb0", "#c05621", "#2f855a", "#6b46c1", "#b83280", "#718096")


def new_figure(width: float, height: float) -> Figure:
    """An empty figure that is drawn with Agg and is freed with its last reference.

    Args:
        width: Inches.
        height: Inches.

    Returns:
        The figure, laid out so that labels are never cut off.
    """
    # pyplot would keep the figure alive for ever and choose a backend for the whole process.
    figure = Figure(figsize=(width, height), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def pixels(figure: Figure) -> Tensor:
    """The drawn figure as an image.

    Args:
        figure: A figure made in this package.

    Returns:
        (H, W, 3) uint8, 0 to 255, red, green, blue.
    """
    buffer = io.BytesIO()
    figure.savefig(buffer, format="rgba")
    width, height = figure.canvas.get_width_height(physical=True)
    flat = torch.frombuffer(bytearray(buffer.getvalue()), dtype=torch.uint8)
    # uint8 on purpose: image loggers take floats for something else than [0, 1] and show black.
    return flat.view(height, width, 4)[..., :3].contiguous()


def png(figure: Figure) -> bytes:
    """The figure as the bytes of a PNG file.

    Args:
        figure: A figure made in this package.

    Returns:
        The file's content.
    """
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
