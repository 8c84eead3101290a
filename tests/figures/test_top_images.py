import pytest
import torch

from lit_intriguing.figures.canvas import png
from lit_intriguing.figures.top_images import TopImages, top_images_figure

SHADES = torch.tensor([[0.0, 0.5, 1.0], [1.0, 1.0, 0.25]])


def panel(side: int = 8, title: str = "units") -> TopImages:
    images = SHADES[:, :, None, None].expand(2, 3, side, side)
    return TopImages(images, ["unit 4", "unit 0"], [0.875, 0.25], title)


def test_each_row_shows_its_images_and_their_mean():
    (axis,) = top_images_figure([panel()]).axes
    picture = axis.images[0].get_array()[..., 0]
    # Images of 8 pixels, 1 between, 3 more before the mean.
    assert picture.shape == (17, 3 * 9 - 1 + 3 + 8)
    assert picture[4, [4, 13, 22, 33]].tolist() == [0.0, 0.5, 1.0, 0.5]
    assert picture[13, [4, 13, 22, 33]].tolist() == [1.0, 1.0, 0.25, 0.75]


def test_names_and_coherence_stand_at_the_middle_of_their_row():
    (axis,) = top_images_figure([panel()], mean=False).axes
    assert [label.get_text() for label in axis.get_yticklabels()] == ["unit 4", "unit 0"]
    assert axis.get_yticks().tolist() == [3.5, 12.5]
    texts = {text.get_text(): text.xy[1] for text in axis.texts}
    assert texts == {"0.88": 3.5, "0.25": 12.5}
    assert axis.get_title(loc="left") == "units"


@pytest.mark.integration
def test_colours_and_long_titles():
    images = torch.rand(4, 8, 3, 16, 16)
    names, coherence = [f"random {n}" for n in range(4)], [0.1] * 4
    figure = top_images_figure(
        [TopImages(images, names, coherence)] * 2, title="layer " * 40, caption="mean cosine " * 40
    )
    assert png(figure).startswith(b"\x89PNG")
    assert figure._suptitle.get_window_extent().x1 <= figure.bbox.x1
    assert len(figure.axes) == 2


@pytest.mark.parametrize(
    ("panels", "message"),
    [
        ([], "no panel"),
        ([TopImages(torch.zeros(0, 3, 8, 8), [], [])], "nothing to draw"),
        ([TopImages(torch.zeros(2, 3, 8, 8), ["a"], [0.1, 0.2])], "2 rows, 1 names"),
        ([TopImages(torch.zeros(1, 3, 5), ["a"], [0.1])], "not drawn"),
    ],
)
def test_what_cannot_be_drawn_is_refused(panels, message):
    with pytest.raises(ValueError, match=message):
        top_images_figure(panels)
