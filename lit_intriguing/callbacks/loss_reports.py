"""Figures and tables of adversarial examples without class labels."""

import math
from collections.abc import Callable, Mapping, Sequence

from matplotlib.figure import Figure
from torch import Tensor

from lit_intriguing.figures.examples import (
    DrawnExamples,
    as_pixels,
    drawn_as_images,
    drawn_as_units,
)
from lit_intriguing.figures.loss_change import Draw, LossMoment, drawn_pairs, loss_figure
from lit_intriguing.figures.masks import DrawnMasks, draw_masks, masks_height
from lit_intriguing.hosts.loss_change import LossChange
from lit_intriguing.hosts.tokens import nearest_tokens, token_changes
from lit_intriguing.tables import Cell
from lit_intriguing.types import Bounds


def change_table(columns: Mapping[str, Tensor]) -> tuple[list[str], list[list[Cell]]]:
    """Return headings and a row for each example, of all columns with one number for it.

    Where rows have no loss alone, that of all together stands in each.
    """
    count = len(columns["distortion"])
    numbers = {name: one for name, one in columns.items() if one.ndim == 1}
    wide = {name: one.expand(count) if len(one) == 1 else one for name, one in numbers.items()}
    wide = {name: one for name, one in wide.items() if len(one) == count}
    rows = zip(*(one.tolist() for one in wide.values()), strict=True)
    return ["example", *wide], [[number, *row] for number, row in enumerate(rows)]


def token_table(
    change: LossChange, weight: Tensor, word: Callable[[int], str]
) -> tuple[list[str], list[list[Cell]]]:
    """Return a row for each example, whose embeddings `(N, T, D)` were attacked, with its text.

    Args:
        change: The examples.
        weight: Of the embedding, `(V, D)`.
        word: Names a token.
    """
    before, after = (nearest_tokens(one, weight) for one in (change.clean, change.adversarial))
    texts = token_changes(before, after, word)
    counts = (before != after).sum(1).tolist()
    rows: list[list[Cell]] = [
        [number, changed, before.shape[1], text]
        for number, (changed, text) in enumerate(zip(counts, texts, strict=True))
    ]
    return ["example", "changed", "tokens", "text"], rows


def change_figure(
    columns: Mapping[str, Tensor],
    history: Sequence[LossMoment],
    *,
    images: bool,
    bounds: Bounds,
    magnify: float | None,
    title: str,
) -> Figure:
    """Draw the examples of the last moment, if they can be drawn, and the losses over the run.

    Args:
        columns: Of the examples; see `LossChange.columns`.
        history: All moments.
        images: Whether the input was attacked.
        bounds: The box of the input.
        magnify: Factor on differences; None to choose it.
        title: Drawn above.
    """
    return loss_figure(history, _top(columns, images, bounds, magnify), title)


def _top(
    columns: Mapping[str, Tensor], images: bool, bounds: Bounds, magnify: float | None
) -> tuple[Draw, float] | None:
    clean, adversarial = columns["clean"].float(), columns["adversarial"].float()
    shape = clean.shape
    if "predictions" in columns and images and clean.ndim == 4:
        masks = _masks(columns, *as_pixels(clean, adversarial, bounds))
        return lambda figure: draw_masks(figure, masks), masks_height(masks)
    images = images and drawn_as_images(shape)
    if not images and not drawn_as_units(shape):
        return None
    pair = as_pixels(clean, adversarial, bounds) if images else (clean, adversarial)
    count = len(clean)
    before, after = (_texts(columns[name], count) for name in ("loss_clean", "loss"))
    moved = columns["distortion"].tolist()
    drawn = DrawnExamples(*pair, before, after, [True] * count, moved)
    return drawn_pairs(drawn, images, magnify)


def _masks(columns: Mapping[str, Tensor], clean: Tensor, adversarial: Tensor) -> DrawnMasks:
    losses = zip(
        *(_texts(columns[name], len(clean)) for name in ("loss_clean", "loss")), strict=True
    )
    shares = columns["flipped"].tolist()
    captions = [
        f"loss {before} → {after}, {100 * share:.1f}% of the pixels flip"
        for (before, after), share in zip(losses, shares, strict=True)
    ]
    labels, first, second = (
        columns[name] for name in ("labels", "predictions", "adversarial_predictions")
    )
    return DrawnMasks(clean, adversarial, labels, first, second, captions)


def _texts(losses: Tensor, count: int) -> list[str]:
    """Return each example's loss; where there is one loss for all, with a mark that says so."""
    alone = len(losses) == count
    values = losses.tolist() if alone else losses.expand(count).tolist()
    return [f"{value:.3g}" if alone else f"all: {value:.3g}" for value in values]


def loss_moment(step: int, values: Mapping[str, float]) -> LossMoment:
    """Return what was measured at a step, of `LossChange.scalars`."""
    return LossMoment(
        step=step,
        loss_clean=values["loss_clean"],
        loss=values["loss"],
        distortion=values["distortion"],
        flipped=values.get("flipped", math.nan),
    )
