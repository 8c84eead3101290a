"""Images of examples as columns of a table."""

import math

from torch import Tensor

from lit_intriguing.figures.difference import shown_difference
from lit_intriguing.figures.mosaic import coloured
from lit_intriguing.loggers.table import Pixels

LEAST = 64
"""Pixels of the shorter side, at least: smaller images are shown with larger pixels."""


def pictures(clean: Tensor, adversarial: Tensor, magnify: float | None) -> dict[str, Pixels]:
    """Return the columns `clean`, `difference` and `adversarial` of a table.

    Args:
        clean: Images that `coloured` takes, pixels in [0, 1].
        adversarial: As `clean`.
        magnify: Factor on the difference, grey for no change; None to choose it, one for all.
    """
    difference, _ = shown_difference(clean, adversarial, magnify)
    shown = {"clean": clean, "difference": difference, "adversarial": adversarial}
    return {name: _as_bytes(images) for name, images in shown.items()}


def _as_bytes(images: Tensor) -> Pixels:
    rgb = coloured(images)
    times = math.ceil(LEAST / min(rgb.shape[1:3]))
    larger = rgb.repeat_interleave(times, 1).repeat_interleave(times, 2)
    # W&B takes floats in [0, 1] for a black picture.
    array: Pixels = (larger * 255).round().byte().cpu().numpy()
    return array
