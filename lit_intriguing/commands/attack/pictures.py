"""The examples of images as a figure, and as a picture file each."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from lightning.pytorch.utilities import rank_zero_warn
from PIL import Image
from torch import Tensor

from lit_intriguing.commands.attack.job import Pictures
from lit_intriguing.commands.attack.summary import Summary
from lit_intriguing.errors import UserError
from lit_intriguing.figures import adversarial_pairs
from lit_intriguing.figures.canvas import png
from lit_intriguing.figures.captions import class_captions
from lit_intriguing.figures.digits import as_images
from lit_intriguing.figures.examples import as_pixels
from lit_intriguing.figures.mosaic import PHOTOGRAPH
from lit_intriguing.figures.pairs import PairCaptions
from lit_intriguing.types import Bounds
from lit_intriguing.whole_files import draft

FOLDER = "adversarial"
"""Of the picture files."""

_LEGEND = (
    "Below the originals: label. Below the adversarial images: prediction, distortion (RMS "
    "change); grey where the goal is not reached."
)


def figure(
    columns: Mapping[str, Tensor],
    summary: Summary,
    pictures: Pictures,
    bounds: Bounds,
    seed: int,
    names: Sequence[str] | None = None,
) -> bytes:
    """Draw attacked images chosen at random, in their order, as a PNG.

    Args:
        columns: See `Examples`; images, at least one of them attacked.
        summary: For the caption.
        pictures: How.
        bounds: Of the images.
        seed: Of the choice.
        names: Of the classes; None for their numbers.

    Raises:
        UserError: There are fewer names than classes.
    """
    (attacked,) = columns["attacked"].nonzero(as_tuple=True)
    photographs = as_images(columns["clean"][:1]).shape[2] >= PHOTOGRAPH
    count = (12 if photographs else 40) if pictures.show is None else pictures.show
    order = torch.randperm(len(attacked), generator=torch.Generator().manual_seed(seed))
    chosen = {name: one[attacked[order[:count].sort().values]] for name, one in columns.items()}
    clean, adversarial = as_pixels(chosen["clean"].float(), chosen["adversarial"].float(), bounds)
    difference = photographs if pictures.difference is None else pictures.difference
    numbers = _numbers(summary, len(clean), pictures.paper_distortion)
    drawn = adversarial_pairs(
        clean, adversarial, f"{_LEGEND}\n{numbers}",
        captions=_captions(chosen, names), difference=difference,
    )  # fmt: skip
    return png(drawn)


def _numbers(summary: Summary, drawn: int, paper: float | None) -> str:
    return (
        f"{drawn} of {summary.attacked} attacked images: success {summary.success:.1%}, mean "
        f"distortion {summary.distortion:.3g}{'' if paper is None else f' (paper: {paper:g})'}. "
        f"Of all {summary.images}: accuracy {summary.accuracy:.1%}, after the attack "
        f"{summary.accuracy_after:.1%}."
    )


def _captions(columns: Mapping[str, Tensor], names: Sequence[str] | None) -> PairCaptions:
    try:
        clean, adversarial = class_captions(columns, names)
    except IndexError as error:
        keys = ("labels", "targets", "predictions", "adversarial_predictions")
        most = max(int(columns[key].max()) for key in keys)
        raise UserError(
            f"class_names: {len(names or ())} names, and there are classes up to {most}, counted "
            "from 0: give a name for each. The examples are kept: the same command goes on."
        ) from error
    moved = columns["distortion"].tolist()
    below = [f"{text}\n{one:#.3g}" for text, one in zip(adversarial, moved, strict=True)]
    return PairCaptions(clean, below, [not one for one in columns["success"].tolist()])


def save_pictures(folder: Path, columns: Mapping[str, Tensor], bounds: Bounds) -> None:
    """Write the adversarial images that reach their goal as PNG files, named by their number.

    Eight bits hold an example only where it lies on one of their levels (`attacks.Survives`): else
    a warning says how many are not what they were.

    Args:
        folder: Where to; it is made. It holds these files alone.
        columns: See `Examples`.
        bounds: Of the images; lower is black and upper is white.
    """
    rows = columns["success"].nonzero()[:, 0].tolist()
    changed = 0
    for row in rows:
        image = columns["adversarial"][row : row + 1].float()
        levels = as_images(as_pixels(image, image, bounds)[0])[0] * 255
        whole = levels.round()
        changed += bool((levels - whole).abs().max() > 0.01)
        with draft(folder / f"{row:06d}.png") as path:
            Image.fromarray(whole.clamp(0, 255).byte().numpy()).save(path, format="png")
    print(f"{len(rows)} adversarial images in {folder}", flush=True)
    if changed:
        rank_zero_warn(
            f"{changed} of {len(rows)} adversarial images are rounded to 8 bits in {folder}, and "
            "may no longer be adversarial there: with --survives 8, and another output, they are."
        )
