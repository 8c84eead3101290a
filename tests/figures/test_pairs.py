import pytest
import torch

from lit_intriguing.figures import adversarial_pairs
from lit_intriguing.figures.canvas import GREY, INK, png
from lit_intriguing.figures.pairs import PairCaptions

GREYS = torch.tensor([0.0, 0.25, 0.5]).view(3, 1, 1, 1).expand(3, 1, 40, 40)
CAPTIONS = PairCaptions(["1", "2", "3"], ["7\n0.100", "8\n0.100", "9, not 4\n0.100"], [0, 0, 1])


def picture(figure) -> torch.Tensor:
    return torch.as_tensor(figure.axes[0].images[0].get_array())


def texts(figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts]


def shades(figure, left: list[int], top: int = 0) -> list[float]:
    return [float(picture(figure)[top, x, 0]) for x in left]


def test_pairs_stand_close_with_white_between_them():
    figure = adversarial_pairs(GREYS, GREYS + 0.125, columns=2)
    # An image is 40 pixels wide, 2 lie within a pair, 14 between pairs.
    assert shades(figure, [0, 41, 42, 81, 82, 95, 96, 138]) == [
        0.0, 1.0, 0.125, 0.125, 1.0, 1.0, 0.25, 0.375,
    ]  # fmt: skip
    assert picture(figure).shape[1] == 2 * 82 + 14


def test_the_difference_stands_between_them_and_its_factor_above():
    figure = adversarial_pairs(GREYS, GREYS + 0.04, difference=True)
    assert shades(figure, [0, 42, 84]) == pytest.approx([0.0, 0.9, 0.04])
    assert texts(figure)[:3] == ["original", "difference × 10", "adversarial"]  # noqa: RUF001
    chosen = adversarial_pairs(GREYS, GREYS + 0.04, difference=True, magnify=2)
    assert shades(chosen, [42]) == pytest.approx([0.58])


def test_every_column_is_named_once_and_every_image_has_its_caption():
    figure = adversarial_pairs(GREYS, GREYS, "accuracy 0%", columns=2, captions=CAPTIONS)
    assert texts(figure)[:4] == ["original", "adversarial"] * 2
    assert texts(figure)[4:] == ["1", "7\n0.100", "2", "8\n0.100", "3", "9, not 4\n0.100"]
    colours = [text.get_color() for text in figure.axes[0].texts[4:]]
    assert colours == [INK] * 5 + [GREY]
    assert figure.get_supxlabel() == "accuracy 0%"
    assert png(figure).startswith(b"\x89PNG")


@pytest.mark.integration
@pytest.mark.parametrize("pixels", [8, 28, 227])
def test_captions_touch_neither_each_other_nor_the_next_row_nor_the_border(pixels: int):
    images = torch.rand(7, 3, pixels, pixels, generator=torch.Generator().manual_seed(0))
    long = "great white shark" if pixels > 64 else "9, not 4"
    captions = PairCaptions([long] * 7, [f"{long}\n0.00123"] * 7, [True] * 7)
    figure = adversarial_pairs(
        images, images, "Of all 360 images: accuracy 98.9%. " * 9, columns=2, captions=captions,
        difference=True,
    )  # fmt: skip
    figure.draw_without_rendering()
    axis = figure.axes[0]
    boxes = [text.get_window_extent() for text in axis.texts]
    assert not any(
        one.overlaps(other) for index, one in enumerate(boxes) for other in boxes[index + 1 :]
    )
    to_pixels = axis.transData.transform
    second_row = to_pixels(axis.collections[0].get_paths()[6].vertices)[:, 1].max()
    assert all(box.y0 > second_row for box in boxes[6:10])
    below = figure._supxlabel.get_window_extent()
    assert 0 < below.x0 < below.x1 < figure.bbox.x1
    assert below.y1 < min(box.y0 for box in boxes)


def test_a_photograph_is_drawn_twice_as_large_as_a_digit_and_two_triples_fit():
    digits, photographs = torch.rand(9, 28, 28), torch.rand(9, 3, 227, 227)
    wide = adversarial_pairs(photographs, photographs, difference=True)
    assert picture(wide).shape[1] < 7 * 227 < wide.get_figwidth() * 227 / 1.1
    assert picture(adversarial_pairs(digits, digits)).shape[1] > 9 * 28


def test_few_images_make_few_columns_and_pixels_of_8x8_are_kept():
    figure = adversarial_pairs(torch.rand(2, 64), torch.rand(2, 64))
    assert texts(figure) == ["original", "adversarial"] * 2
    assert picture(figure)[:32, :32].unfold(0, 4, 4).unfold(1, 4, 4).std((-1, -2)).max() < 1e-6


def test_colours_are_drawn_within_the_range():
    figure = adversarial_pairs(torch.zeros(1, 3, 2, 2), torch.full((1, 3, 2, 2), 7.0))
    assert picture(figure).max() == 1.0


def test_different_shapes_are_refused_with_both():
    with pytest.raises(ValueError, match=r"differ in shape: \(1, 16\) and \(2, 16\)"):
        adversarial_pairs(torch.zeros(1, 16), torch.zeros(2, 16))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"columns": 0}, "columns must be at least 1, not 0"),
        ({"difference": True, "magnify": -1}, "magnify must be positive, not -1"),
        ({"captions": PairCaptions(["1"], ["2"], [])}, "captions.failed: 0 for 1 images"),
    ],
)
def test_what_cannot_be_drawn_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        adversarial_pairs(torch.zeros(1, 16), torch.zeros(1, 16), **options)
