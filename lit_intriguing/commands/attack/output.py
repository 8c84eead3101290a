"""What comes out: the files of an attack, with its examples, summary and figure."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lit_intriguing.commands.attack.job import AttackJob
from lit_intriguing.commands.attack.pictures import FOLDER, figure, save_pictures
from lit_intriguing.commands.attack.summary import Summary
from lit_intriguing.data.class_names import names_of_data
from lit_intriguing.figures.examples import drawn_as_images
from lit_intriguing.splice import INPUT
from lit_intriguing.types import Bounds
from lit_intriguing.whole_files import draft, write_bytes


def write(
    folder: Path, columns: Mapping[str, Tensor], summary: Summary, job: AttackJob, data: object
) -> list[str]:
    """Write `examples.pt` or `.npz`, `summary.csv` and, of images, the pictures.

    Args:
        folder: Where to; it exists.
        columns: See `Examples`.
        summary: Its numbers.
        job: What was asked for.
        data: Where the images come from; it may name the classes.

    Returns:
        The names of the files.
    """
    names = [_write_examples(folder, columns, job.format), "summary.csv"]
    (folder / "summary.csv").write_text(summary.csv(), encoding="utf-8")
    return [*names, *draw(folder, columns, summary, job, data)]


def draw(
    folder: Path, columns: Mapping[str, Tensor], summary: Summary, job: AttackJob, data: object
) -> list[str]:
    """Write `examples.png`, and where it is asked for a picture of each example.

    Args:
        folder: Where to; it exists.
        columns: See `Examples`.
        summary: Its numbers.
        job: What was asked for.
        data: Where the images come from; it may name the classes.

    Returns:
        `examples.png`, unless there is nothing to draw.
    """
    images = job.layer == INPUT and drawn_as_images(columns["clean"].shape)
    if not images or not bool(columns["attacked"].any()):
        return []
    bounds, pictures = job.bounds or Bounds(), job.pictures
    if pictures.png:
        save_pictures(folder / FOLDER, columns, bounds)
    if pictures.show == 0:
        return []
    names = pictures.names(names_of_data(data))
    drawn = figure(columns, summary, pictures, bounds, job.seed, names)
    write_bytes(folder / "examples.png", drawn)
    return ["examples.png"]


def read_examples(folder: Path, kind: str) -> Mapping[str, Tensor]:
    """Return the columns of `examples.pt`, or `.npz`, that `write` wrote."""
    if kind == "pt":
        found: Mapping[str, Tensor] = torch.load(
            folder / "examples.pt", weights_only=True, mmap=True
        )
        return found
    with np.load(folder / "examples.npz") as arrays:
        return {name: torch.from_numpy(array) for name, array in arrays.items()}


def _write_examples(folder: Path, columns: Mapping[str, Tensor], kind: str) -> str:
    """Write the columns; a crash leaves no half file."""
    name = f"examples.{kind}"
    with draft(folder / name) as path, path.open("wb") as file:
        if kind == "npz":
            np.savez(file, **{key: _array(value) for key, value in columns.items()})  # type: ignore[arg-type]
        else:
            torch.save(dict(columns), file)
    return name


def _array(column: Tensor) -> "np.ndarray[tuple[int, ...], np.dtype[np.generic]]":
    # NumPy has no bfloat16.
    return (column.float() if column.dtype == torch.bfloat16 else column).numpy()
