"""A figure, a table with pictures and a configuration, to send to any logger."""

import numpy as np
from matplotlib.figure import Figure

from lit_intriguing.figures.canvas import new_figure
from lit_intriguing.loggers.destinations import Destination
from lit_intriguing.loggers.table import Table
from lit_intriguing.loggers.when import When

WHEN = When(steps=8, epoch=1)
RED = np.full((2, 4, 4, 3), [255, 0, 0], dtype=np.uint8)
TABLE = Table(["example", "c", "state"], [[0, 0.5, "found"], [1, "none", "lost"]], {"clean": RED})
TEXT = "model: {lr: 0.1}\n"
VALUES = {
    "model": {"lr": 0.1, "note": "x" * 400, "encoder": None},
    "callbacks": [{"class_path": "a.Timer", "init_args": {"layers": {"": {"n": 2}}}}],
}


def figure() -> Figure:
    return new_figure(1, 0.5)


def send(destination: Destination) -> None:
    destination.figure("examples", figure(), WHEN)
    destination.table("examples", TABLE, WHEN)
    destination.configuration(TEXT, VALUES)
