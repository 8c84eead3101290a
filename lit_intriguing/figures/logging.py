"""Sends a figure or a table to whichever loggers a run has."""

import csv
from collections.abc import Sequence
from pathlib import Path

from lightning.pytorch.loggers import Logger, TensorBoardLogger, WandbLogger
from lightning.pytorch.utilities import rank_zero_only
from matplotlib.figure import Figure

from lit_intriguing.figures.canvas import pixels, png
from lit_intriguing.figures.tables import Cell, markdown_table


@rank_zero_only
def log_figure(
    loggers: Sequence[Logger], name: str, figure: Figure, *, step: int, directory: Path | str
) -> None:
    """Logs a figure to each logger; as a PNG file where the logger knows no images.

    Does nothing on ranks other than 0.

    Args:
        loggers: The run's loggers, `trainer.loggers`; none is fine.
        name: For instance `adversarial/digits`; a slash makes a folder.
        figure: A figure made in this package.
        step: `trainer.global_step`.
        directory: Where the file goes when no logger has a folder, such as
            `trainer.default_root_dir`. The file is `<folder>/figures/<name>-<step>.png`.
    """
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            logger.log_image(name, [pixels(figure).numpy()], step=step)
        elif isinstance(logger, TensorBoardLogger):
            logger.experiment.add_image(name, pixels(figure), step, dataformats="HWC")
    for folder in _folders(loggers, directory):
        path = _file(folder / "figures", name, step, "png")
        path.write_bytes(png(figure))


@rank_zero_only
def log_table(
    loggers: Sequence[Logger],
    name: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[Cell]],
    *,
    step: int,
    directory: Path | str,
) -> None:
    """Logs a table to each logger; as a CSV file where the logger knows no tables.

    Does nothing on ranks other than 0.

    Args:
        loggers: The run's loggers, `trainer.loggers`; none is fine.
        name: For instance `transfer/error`; a slash makes a folder.
        columns: C names.
        rows: Each with C cells.
        step: `trainer.global_step`.
        directory: As in `log_figure`; the file is `<folder>/tables/<name>-<step>.csv`.

    Raises:
        ValueError: A row does not have C cells.
    """
    for row in rows:
        if len(row) != len(columns):
            raise ValueError(
                f"table {name!r}: a row of {len(row)} cells for {len(columns)} columns"
            )
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            logger.log_table(
                name, columns=list(columns), data=[list(row) for row in rows], step=step
            )
        elif isinstance(logger, TensorBoardLogger):
            logger.experiment.add_text(name, markdown_table(columns, rows), step)
    for folder in _folders(loggers, directory):
        with _file(folder / "tables", name, step, "csv").open("w", newline="") as file:
            csv.writer(file).writerows([columns, *rows])


def _folders(loggers: Sequence[Logger], directory: Path | str) -> list[Path]:
    """Where files go: the folder of each logger that takes no images, or the fallback."""
    if not loggers:
        return [Path(directory)]
    filed = (one for one in loggers if not isinstance(one, WandbLogger | TensorBoardLogger))
    return list(dict.fromkeys(Path(one.log_dir or directory) for one in filed))


def _file(folder: Path, name: str, step: int, suffix: str) -> Path:
    path = folder / f"{name}-{step}.{suffix}"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
