import pytest
import torch

from lit_intriguing.figures import adversarial_pairs


def shades(figure) -> list[float | None]:
    """The grey of each place, by lines; None where there is no image."""
    return [
        float(axis.images[0].get_array()[0, 0]) if axis.images else None for axis in figure.axes
    ]


def test_odd_columns_are_clean_and_even_ones_adversarial():
    clean = torch.tensor([0.0, 0.25, 0.5]).view(3, 1, 1, 1).expand(3, 1, 2, 2)
    figure = adversarial_pairs(clean, clean + 0.125, "accuracy 0%", columns=2)
    assert shades(figure) == [0.0, 0.125, 0.25, 0.375, 0.5, 0.625, None, None]
    assert figure.get_supxlabel() == "accuracy 0%"


def test_few_images_make_few_columns():
    assert len(adversarial_pairs(torch.zeros(2, 4), torch.zeros(2, 4)).axes) == 4


def test_colours_are_drawn_within_the_range():
    figure = adversarial_pairs(torch.zeros(1, 3, 2, 2), torch.full((1, 3, 2, 2), 7.0))
    assert figure.axes[1].images[0].get_array().max() == 1.0


def test_different_shapes_are_refused_with_both():
    with pytest.raises(ValueError, match=r"differ in shape: \(1, 16\) and \(2, 16\)"):
        adversarial_pairs(torch.zeros(1, 16), torch.zeros(2, 16))


def test_no_column_is_refused():
    with pytest.raises(ValueError, match="columns must be at least 1, not 0"):
        adversarial_pairs(torch.zeros(1, 16), torch.zeros(1, 16), columns=0)
