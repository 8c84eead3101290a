import math
from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from lit_intriguing.figures.canvas import GREY, INK, png
from lit_intriguing.figures.examples import (
    DrawnExamples,
    as_units,
    drawn_as_images,
    drawn_as_units,
    examples_figure,
)
from lit_intriguing.figures.history import Moment

HISTORY = [Moment(10, 1.0, 0.06, 0.05), Moment(20, 0.5, 0.08, 0.07)]


def shown(clean: torch.Tensor, change: float = 0.1) -> DrawnExamples:
    count = len(clean)
    success = [index % 2 == 0 for index in range(count)]
    return DrawnExamples(clean, clean + change, [3] * count, [8] * count, success, [0.05] * count)


def test_images_stand_in_three_lines_with_the_shifted_difference_between() -> None:
    clean = torch.full((2, 1, 8, 8), 0.25)
    axis = examples_figure(shown(clean, 0.125), HISTORY, magnify=2).axes[0]
    picture = axis.images[0].get_array()
    assert [float(picture[row, 0, 0]) for row in (0, 9, 18)] == [0.25, 0.75, 0.375]
    # The place of the third column is white, and so are the gaps.
    assert float(picture[0, 18, 0]) == float(picture[8, 0, 0]) == 1.0
    labels = [label.get_text() for label in axis.get_yticklabels()]
    assert labels == ["clean", "difference\n× 2", "adversarial"]  # noqa: RUF001


def test_captions_stand_above_and_below_with_the_distortion_and_failures_are_grey() -> None:
    axis = examples_figure(shown(torch.rand(2, 8, 8)), HISTORY).axes[0]
    assert [text.get_text() for text in axis.texts] == ["3", "8\n0.0500", "3", "8\n0.0500"]
    assert [text.get_color() for text in axis.texts] == [INK, INK, INK, GREY]


def test_long_names_of_classes_stay_within_their_column() -> None:
    drawn = shown(torch.rand(9, 3, 8, 8))
    long = replace(drawn, before=["American Staffordshire terrier, predicted tennis ball"] * 9)
    figure = examples_figure(long, [])
    figure.draw_without_rendering()
    above = [text.get_window_extent() for text in figure.axes[0].texts[::2]]
    assert all(left.x1 < right.x0 for left, right in pairwise(above))


def test_one_moment_and_curves_without_anything_to_see_are_not_drawn() -> None:
    drawn = shown(torch.rand(1, 8, 8))
    assert len(examples_figure(drawn, HISTORY).axes) == 3
    assert len(examples_figure(drawn, HISTORY[:1]).axes) == 1
    failures = [Moment(step, 0.0, math.nan, math.nan) for step in (1, 2)]
    assert len(examples_figure(drawn, failures).axes) == 1


@pytest.mark.parametrize("history", [[], [Moment(4, 0.0, math.nan, math.nan)]])
def test_a_history_with_nothing_to_show_is_drawn_without_a_warning(history: list[Moment]) -> None:
    assert png(examples_figure(shown(torch.zeros(1, 8, 8), 0.0), history))


def test_more_than_eight_images_go_on_in_another_block() -> None:
    axes = examples_figure(shown(torch.rand(9, 3, 8, 8)), HISTORY).axes
    assert [len(axis.images) for axis in axes] == [1, 1, 0, 0]
    assert len(axes[1].texts) == 2


def test_units_stand_in_one_line_for_each_example_on_one_scale() -> None:
    clean = torch.tensor([[1.0, -2.0], [0.5, 0.0], [0.0, 0.0]])
    figure = examples_figure(shown(clean, 0.5), HISTORY, images=False, magnify=4)
    pictures = [axis.images[0] for axis in figure.axes[:3]]
    assert pictures[0].get_array().tolist() == clean.tolist()
    assert pictures[1].get_array().tolist() == [[2.0, 2.0]] * 3
    assert {picture.get_clim() for picture in pictures} == {(-2.0, 2.0)}
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == ["3 → 8"] * 3


def test_channels_of_a_convolution_are_drawn_by_their_root_mean_square() -> None:
    batch = torch.tensor([3.0, -4.0]).view(1, 1, 1, 2)
    assert as_units(batch).item() == pytest.approx(math.sqrt(12.5))
    examples_figure(shown(torch.randn(2, 5, 3, 3)), HISTORY, images=False)


def test_what_is_drawn_how() -> None:
    assert [drawn_as_images(s) for s in ((2, 49), (2, 65), (2, 1, 4, 4), (2, 2, 4, 4))] == [
        False, False, True, False,
    ]  # fmt: skip
    assert [drawn_as_units(s) for s in ((2, 5), (2, 2, 4, 4), (2, 3, 4), (2, 0))] == [
        True, True, False, False,
    ]  # fmt: skip


def test_units_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"shape \(2, 3, 4\) are not drawn: give \(N, D\) or"):
        as_units(torch.zeros(2, 3, 4))


def test_a_factor_that_is_not_positive_is_refused() -> None:
    with pytest.raises(ValueError, match="magnify must be positive, not -1"):
        examples_figure(shown(torch.rand(1, 8, 8)), HISTORY, magnify=-1)
