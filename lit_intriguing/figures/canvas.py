"""Figures that no window system and no global state know about."""

import io
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

INK = "#222222"
GREY = "#8a8a8a"
PALETTE = ("#2b6cb0", "#c05621", "#2f855a", "#6b46c1", "#b83280", "#718096")


def new_figure(width: float, height: float) -> Figure:
    """Make an empty figure that is drawn with Agg and is freed with its last reference.

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


def png(figure: Figure) -> bytes:
    """Return the figure as the bytes of a PNG file.

    Args:
        figure: A figure made in this package.

    Returns:
        The file's content.
    """
    # `savefig` draws everything twice.
    buffer = io.BytesIO()
    dots = (figure.dpi, figure.dpi)
    Image.fromarray(pixels(figure)).save(buffer, format="png", dpi=dots)
    return buffer.getvalue()


def pixels(figure: Figure) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Return the drawn figure as an array (H, W, 3) from 0 to 255; it is drawn once."""
    canvas = figure.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    if figure.stale or not hasattr(canvas, "renderer"):
        canvas.draw()  # type: ignore[no-untyped-call]
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()  # type: ignore[no-untyped-call]
