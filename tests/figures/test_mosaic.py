import pytest
import torch

from lit_intriguing.figures.canvas import new_figure
from lit_intriguing.figures.mosaic import coloured, pasted, pixels_of, show


def test_grey_and_coloured_images_become_rgb_within_the_range() -> None:
    grey = coloured(torch.tensor([-1.0, 0.5, 2.0, 0.0]).view(1, 1, 2, 2))
    assert grey.shape == (1, 2, 2, 3)
    assert grey[0, :, :, 0].tolist() == grey[0, :, :, 2].tolist() == [[0.0, 0.5], [1.0, 0.0]]
    red = coloured(torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1))
    assert red[0, 0, 0].tolist() == [1.0, 0.0, 0.0]


def test_each_part_of_each_example_is_pasted_at_its_corner_on_white() -> None:
    parts = [torch.full((2, 1, 1, 3), value) for value in (0.0, 0.5)]
    picture = pasted(parts, lambda number, part: (2 * number, 2 * part), (3, 3))
    expected = [[0.0, 1.0, 0.5], [1.0, 1.0, 1.0], [0.0, 1.0, 0.5]]
    assert picture[:, :, 1].tolist() == expected


@pytest.mark.parametrize(("width", "how"), [(8, "nearest"), (28, "nearest"), (227, "antialiased")])
def test_few_pixels_are_sharp_and_photographs_smoothed(width: int, how: str) -> None:
    axis = new_figure(2, 2).subplots()
    show(axis, torch.zeros(width, width, 3), width)
    assert axis.images[0].get_interpolation() == how


def test_a_share_of_a_small_image_is_a_pixel_at_least() -> None:
    assert [pixels_of(0.04, 8), pixels_of(0.04, 227), pixels_of(0.25, 4, 2)] == [1, 9, 2]
