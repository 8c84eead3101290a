import re
from typing import Any

import pytest
import torch

from lit_intriguing.figures.filters import filters_figure, strongest


def drawn(filters: torch.Tensor, **options: Any) -> torch.Tensor:
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


def test_on_one_scale_a_weak_filter_looks_weak_also_in_colour() -> None:
    filters = torch.tensor([4.0, -1.0])[:, None, None, None] * torch.ones(2, 3, 2, 2)
    filters[:, 1] = 0  # green
    image = drawn(filters, one_scale=True)
    assert image.shape == (2, 5, 3)
    assert torch.equal(image[0, 0], torch.tensor([1.0, 0.5, 1.0]))
    assert torch.equal(image[0, 3], torch.tensor([0.375, 0.5, 0.375]))
    assert torch.equal(drawn(filters)[0, 3], torch.tensor([0.0, 0.5, 0.0]))


def test_the_strongest_come_first() -> None:
    filters = torch.tensor([1.0, -3.0, 2.0])[:, None, None] * torch.ones(3, 2, 2)
    assert torch.equal(strongest(filters, 2), filters[[1, 2]])
    assert len(strongest(filters, 9)) == 3


@pytest.mark.parametrize(
    ("shape", "columns", "message"),
    [
        ((0, 9), 1, "no image to draw"),
        ((2, 8), 1, "is not drawn"),
        ((2, 2, 4, 4), 1, "is not drawn"),
        ((2, 9), 0, "columns must be at least 1, not 0"),
    ],
)
def test_what_cannot_be_drawn_is_refused(
    shape: tuple[int, ...], columns: int, message: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        filters_figure(torch.ones(shape), columns=columns)
