"""Masks beside images: what stands where, and losses over the steps."""

import math

import torch
from matplotlib import colormaps

from lit_intriguing.figures.canvas import new_figure, png
from lit_intriguing.figures.loss_change import LossMoment, loss_figure
from lit_intriguing.figures.masks import DrawnMasks, draw_masks, masks_height

SIDE = 10
LABELS = torch.zeros(3, SIDE, SIDE, dtype=torch.int64)
LABELS[:, 0, 0] = 255
LABELS[:, 1:, 1:] = 2


def masks(channels: int = 3) -> DrawnMasks:
    clean = torch.full((3, channels, SIDE, SIDE), 0.25)
    return DrawnMasks(
        clean, clean + 0.5, LABELS, LABELS * 0, LABELS * 0 + 1, ["first", "second", "third"]
    )


def test_each_example_shows_image_labels_and_predictions_in_a_row() -> None:
    figure = new_figure(8.0, masks_height(masks()))
    draw_masks(figure.subfigures(1, 1), masks())
    (axis,) = figure.axes
    picture = torch.tensor(axis.images[0].get_array())
    # Tiles are 10 wide, 1 apart; two examples abreast, 3 apart; lines are 13 high.
    block, line = 5 * (SIDE + 1) - 1 + 3, SIDE + 3
    assert tuple(picture.shape) == (2 * line, 2 * block - 3, 3)
    for x, y in ((0, 0), (block, 0), (0, line)):
        tiles = [picture[y : y + SIDE, x + k * 11 : x + k * 11 + SIDE] for k in range(5)]
        image, labels, before, adversarial, after = tiles
        assert (image == 0.25).all()
        assert (adversarial == 0.75).all()
        table = torch.tensor(colormaps["tab20"].colors)  # type: ignore[attr-defined]
        assert torch.allclose(labels[5, 5].float(), table[1])
        assert labels[0, 0].tolist() == before.new_full((3,), 0.6).tolist()
        assert (labels[0, 1] < 0.2).all()
        assert (before < 0.2).all()
        assert torch.allclose(after[0, 0].float(), table[0])
    assert (picture[line:, block:] == 1).all()
    texts = [text.get_text() for text in axis.texts]
    assert texts.count("labels") == 2
    assert [one for one in texts if one in ("first", "second", "third")] == [
        "first", "second", "third",
    ]  # fmt: skip


def test_other_numbers_of_channels_are_drawn_too() -> None:
    for channels in (1, 2, 13):
        figure = new_figure(8.0, 2.0)
        draw_masks(figure.subfigures(1, 1), masks(channels))
        assert png(figure).startswith(b"\x89PNG")


def test_losses_stand_over_the_steps_and_flipped_pixels_where_they_are_known() -> None:
    def history(flipped: float) -> list[LossMoment]:
        return [LossMoment(step, 1.0, 1.0 + step, 0.1, flipped) for step in (2, 4)]

    for flipped, title in ((0.25, "flips"), (math.nan, "distortion")):
        figure = loss_figure(history(flipped), title="title")
        left, right = figure.axes
        clean, adversarial = left.lines
        assert list(clean.get_ydata()) == [1.0, 1.0]
        assert list(adversarial.get_ydata()) == [3.0, 5.0]
        assert title in right.get_title(loc="left")
        assert list(right.lines[0].get_ydata()) == ([25.0] * 2 if title == "flips" else [0.1] * 2)
