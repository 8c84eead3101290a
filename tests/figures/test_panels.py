import pytest
import torch

from lit_intriguing.figures.canvas import png
from lit_intriguing.figures.panels import Panel, pair_panels

GREYS = torch.tensor([0.0, 0.25, 0.5, 0.75, 1.0]).view(5, 1, 1).expand(5, 4, 4)


def panel(title: str = "", caption: str = "") -> Panel:
    return Panel(GREYS, 1 - GREYS, title, caption)


def test_odd_columns_are_clean_and_even_ones_distorted():
    (axis,) = pair_panels([panel()], columns=2).axes
    picture = axis.images[0].get_array()[..., 0]
    # A pair is 4 + 1 + 4 pixels wide, the next begins after a gap of 2; lines are 5 apart.
    found = [float(picture[y, x]) for y in (0, 5, 10) for x in (0, 5, 11, 16)]
    assert found == [0, 1, 0.25, 0.75, 0.5, 0.5, 0.75, 0.25, 1, 0, 1, 1]
    assert picture.shape == (14, 20)


def test_panels_have_titles_and_wrapped_captions_and_stand_three_abreast():
    figure = pair_panels([panel("a", "right: " + "model 90%, " * 9)] * 4, title="Whole")
    assert len(figure.axes) == 6
    assert [axis.axison for axis in figure.axes] == [True] * 4 + [False] * 2
    assert figure.axes[0].get_title(loc="left") == "a"
    assert len(figure.axes[0].get_xlabel().splitlines()) > 2
    assert figure.get_suptitle() == "Whole"
    assert png(figure).startswith(b"\x89PNG")


def test_captions_and_titles_stay_within_their_panel_and_the_figure():
    long = "right: " + "FC100-100-10 100.0%, " * 5
    figure = pair_panels([panel("for FC100-100-10 " * 4, long)] * 3, title="Transfer " * 20)
    figure.draw_without_rendering()
    texts = [t for axis in figure.axes for t in (axis.xaxis.label, axis._left_title)]
    boxes = [text.get_window_extent() for text in texts]
    for left, right in zip(boxes, boxes[2:], strict=False):
        assert left.x1 < right.x0
    assert max(box.x1 for box in boxes) <= figure.bbox.x1
    assert figure._suptitle.get_window_extent().x1 <= figure.bbox.x1


def test_values_outside_the_range_are_black_and_white_and_colours_are_kept():
    coloured = torch.tensor([[[[-1.0]], [[0.5]], [[2.0]]]])
    (axis,) = pair_panels([Panel(coloured, coloured)]).axes
    assert axis.images[0].get_array()[0, 0].tolist() == [0.0, 0.5, 1.0]


@pytest.mark.parametrize(
    ("panels", "options", "message"),
    [
        ([], {}, "no panel"),
        ([Panel(GREYS, GREYS[:3])], {}, r"differ in shape: \(5, 4, 4\) and \(3, 4, 4\)"),
        ([panel()], {"columns": 0}, "columns must be at least 1, not 0"),
        ([Panel(GREYS[:0], GREYS[:0])], {}, "no image to draw"),
    ],
)
def test_what_cannot_be_drawn_is_refused(panels, options, message):
    with pytest.raises(ValueError, match=message):
        pair_panels(panels, **options)


def test_photographs_stand_one_pair_in_a_row():
    photographs = torch.rand(3, 3, 70, 70, generator=torch.Generator().manual_seed(0))
    (axis,) = pair_panels([Panel(photographs, photographs)]).axes
    assert axis.images[0].get_array().shape[:2] == (3 * 73 - 3, 143)
    assert axis.images[0].get_interpolation() == "antialiased"
