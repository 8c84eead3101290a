"""Sends figures and tables to whichever logger is there.

Loggers are recognised by the names of their classes: those of `lightning`, of `pytorch_lightning`
and of Fabric, and subclasses of them, are then all the same, and none of the three has to be
imported.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from lit_intriguing.figures.canvas import png
from lit_intriguing.tables import Cell, csv_table, markdown_table
from lit_intriguing.whole_files import write_bytes


class Destination(Protocol):
    """A place that takes figures and tables."""

    def figure(self, key: str, figure: Figure, step: int) -> None:
        """Take a figure.

        Args:
            key: Name of the series that the figure belongs to, parts separated by slashes.
            figure: A figure made in this package.
            step: Optimiser steps taken when it was made.
        """

    def table(
        self, key: str, columns: Sequence[str], rows: Sequence[Sequence[Cell]], step: int
    ) -> None:
        """Take a table of C columns and rows of C cells; else as `figure`."""


@dataclass(frozen=True)
class Files:
    """A folder: `<key>/step-<step>.png` for figures, `.csv` for tables."""

    folder: Path

    def figure(self, key: str, figure: Figure, step: int) -> None:
        """Write a PNG file."""
        write_bytes(self.path(key, step, ".png"), png(figure))

    def table(
        self, key: str, columns: Sequence[str], rows: Sequence[Sequence[Cell]], step: int
    ) -> None:
        """Write a CSV file, the columns' names in its first line."""
        write_bytes(self.path(key, step, ".csv"), csv_table(columns, rows).encode())

    def path(self, key: str, step: int, suffix: str) -> Path:
        """Return the file of a series at a step; names sort by step."""
        return self.folder / key / f"step-{step:08d}{suffix}"


@dataclass(frozen=True)
class Wandb:
    """Weights & Biases: panels `<key>/figure` and `<key>/table`."""

    logger: Any

    def figure(self, key: str, figure: Figure, step: int) -> None:
        """Log an image."""
        self.logger.log_image(f"{key}/figure", [pixels(figure)], step=step)

    def table(
        self, key: str, columns: Sequence[str], rows: Sequence[Sequence[Cell]], step: int
    ) -> None:
        """Log a table."""
        lines = [list(row) for row in rows]
        self.logger.log_table(f"{key}/table", columns=list(columns), data=lines, step=step)


@dataclass(frozen=True)
class TensorBoard:
    """TensorBoard: `<key>/figure` among the images, `<key>/table` among the texts."""

    logger: Any

    def figure(self, key: str, figure: Figure, step: int) -> None:
        """Log an image."""
        # `add_figure` would bring pyplot and its global state in.
        self.logger.experiment.add_image(f"{key}/figure", pixels(figure), step, dataformats="HWC")

    def table(
        self, key: str, columns: Sequence[str], rows: Sequence[Sequence[Cell]], step: int
    ) -> None:
        """Log the table as Markdown."""
        self.logger.experiment.add_text(f"{key}/table", markdown_table(columns, rows), step)


def destinations(loggers: Iterable[object], folder: Path | None = None) -> list[Destination]:
    """Return where figures and tables go.

    Args:
        loggers: The trainer's. W&B, TensorBoard and CSV (files beside `metrics.csv`) are known;
            others get nothing.
        folder: Takes files in any case.

    Returns:
        Each place once, though a CSV logger may write to `folder` too.
    """
    found: list[Destination] = [] if folder is None else [Files(folder.absolute())]
    for logger in loggers:
        destination = _destination(logger)
        if destination is not None and destination not in found:
            found.append(destination)
    return found


def _destination(logger: Any) -> Destination | None:
    names = {kind.__name__ for kind in type(logger).__mro__}
    if "WandbLogger" in names:
        return Wandb(logger)
    if "TensorBoardLogger" in names:
        return TensorBoard(logger)
    if "CSVLogger" in names:
        # Asked before its first write, the logger would find our files and warn.
        return Files(Path(logger.experiment.log_dir).absolute())
    return None


def pixels(figure: Figure) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Return the drawn figure as an array (H, W, 3) from 0 to 255."""
    canvas = figure.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    canvas.draw()  # type: ignore[no-untyped-call]
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()  # type: ignore[no-untyped-call]
