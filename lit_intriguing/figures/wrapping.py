"""Text that stays within a width in inches."""

import textwrap

from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

_POINTS = 72
"""In an inch."""


def text_width(text: str, size: float) -> float:
    """Return the width of the longest line.

    Args:
        text: One line or several.
        size: Of the font, in points.

    Returns:
        Inches.
    """
    font = FontProperties(size=size)
    widths = [
        text_to_path.get_text_width_height_descent(line, font, ismath=False)[0]
        for line in text.splitlines()
    ]
    return float(max(widths, default=0.0)) / _POINTS


def wrapped(text: str, width: float, size: float) -> str:
    """Break lines that are too long, between words where there is a place.

    Args:
        text: One line or several, each of which is broken for itself.
        width: Inches.
        size: Of the font, in points.

    Returns:
        The text with more line breaks.
    """
    return "\n".join(_folded(line, width, size) for line in text.splitlines())


def _folded(line: str, width: float, size: float) -> str:
    for characters in range(len(line), 1, -1):
        folded = textwrap.fill(line, characters)
        if text_width(folded, size) <= width:
            return folded
    return line
