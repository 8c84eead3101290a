import re

import pytest
import torch

from lit_intriguing.figures.filters import filters_figure


def drawn(filters: torch.Tensor, **options: int) -> torch.Tensor:
    (axis,) = filters_figure(filters, **options).axes
    return torch.from_numpy(axis.images[0].get_array().filled().copy())


def test_filters_stand_in_lines_each_scaled_by_its_own_largest_weight() -> None:
    filters = torch.arange(1.0, 28.0).view(3, 9) * torch.tensor([1.0, -10.0, 0.1])[:, None]
    image = drawn(filters, columns=2)
    assert image.shape == (7, 7)
    assert torch.allclose(image[:3, :3], filters[0].view(3, 3) / 9)
    assert torch.allclose(image[:3, 4:], filters[1].view(3, 3) / 180)
    assert torch.allclose(image[4:, :3], filters[2].view(3, 3) / 2.7)
    assert (image[3] == 1).all()
    assert (image[4:, 3:] == 1).all()


def test_a_filter_of_zeros_is_grey() -> None:
    assert not drawn(torch.zeros(1, 4)).any()


def test_the_caption_stands_below() -> None:
    figure = filters_figure(torch.ones(1, 1, 3, 3), "localisation 0.6")
    assert figure.get_supxlabel() == "localisation 0.6"


@pytest.mark.parametrize(
    ("shape", "columns", "message"),
    [
        ((0, 9), 1, "no image to draw"),
        ((2, 8), 1, "is not drawn"),
        ((2, 3, 4, 4), 1, "filters of shape (2, 3, 4, 4) have colours"),
        ((2, 9), 0, "columns must be at least 1, not 0"),
    ],
)
def test_what_cannot_be_drawn_is_refused(
    shape: tuple[int, ...], columns: int, message: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        filters_figure(torch.ones(shape), columns=columns)
