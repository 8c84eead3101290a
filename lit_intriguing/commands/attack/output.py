"""What comes out: the files of an attack, with its examples, summary and figure."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lit_intriguing.commands.attack.summary import Summary
from lit_intriguing.figures import adversarial_pairs
from lit_intriguing.figures.canvas import png
from lit_intriguing.figures.examples import drawn_as_images
from lit_intriguing.splice import INPUT
from lit_intriguing.types import Bounds
from lit_intriguing.whole_files import draft, write_bytes

DRAWN = 40
"""Images in the figure, at most."""


def write(
    folder: Path,
    columns: Mapping[str, Tensor],
    summary: Summary,
    *,
    kind: str,
    layer: str,
    bounds: Bounds | None,
    seed: int,
) -> list[str]:
    """Write `examples.pt` or `.npz`, `summary.csv` and, of images, `examples.png`.

    Args:
        folder: Where to; it exists.
        columns: See `Examples`.
        summary: Its numbers.
        kind: "pt" or "npz".
        layer: What was attacked.
        bounds: Of the images; where None [0, 1].
        seed: Of the choice of images drawn.

    Returns:
        The names of the files.
    """
    names = [_write_examples(folder, columns, kind), "summary.csv"]
    (folder / "summary.csv").write_text(summary.csv(), encoding="utf-8")
    images = layer == INPUT and drawn_as_images(columns["clean"].shape)
    if images and bool(columns["attacked"].any()):
        write_bytes(folder / "examples.png", figure(columns, summary, bounds, seed))
        names.append("examples.png")
    return names


def figure(
    columns: Mapping[str, Tensor], summary: Summary, bounds: Bounds | None, seed: int
) -> bytes:
    """Draw attacked images chosen at random, clean beside adversarial, as a PNG.

    Args:
        columns: See `Examples`; images, at least one of them attacked.
        summary: For the caption.
        bounds: Of the images; where None [0, 1].
        seed: Of the choice.
    """
    (attacked,) = columns["attacked"].nonzero(as_tuple=True)
    order = torch.randperm(len(attacked), generator=torch.Generator().manual_seed(seed))
    chosen = attacked[order[:DRAWN]]
    images = (columns[name][chosen].float() for name in ("clean", "adversarial"))
    clean, adversarial = (_pixels(one, bounds or Bounds()) for one in images)
    caption = (
        f"{summary.images} images: accuracy {summary.accuracy:.1%}, after the "
        f"attack {summary.accuracy_after:.1%}; average distortion {summary.distortion:.3g}"
    )
    return png(adversarial_pairs(clean, adversarial, caption))


def _pixels(images: Tensor, bounds: Bounds) -> Tensor:
    """Bring images that were normalised back to [0, 1], as far as the bounds say."""
    lower, upper = bounds.tensors_like(images)
    width = upper - lower
    return (images - lower) / width if bool((width.isfinite() & (width > 0)).all()) else images


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
