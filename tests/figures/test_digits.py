import pytest
import torch

from lit_intriguing.figures import adversarial_digits


def test_rows_show_clean_shifted_difference_and_adversarial():
    clean = torch.full((2, 1, 2, 2), 0.25)
    adversarial = clean + torch.tensor([0.125, -0.0625]).view(2, 1, 1, 1)
    axes = adversarial_digits(clean, adversarial, magnify=2).axes
    shown = [float(axis.images[0].get_array()[0, 0]) for axis in axes]
    assert shown == [0.25, 0.25, 0.75, 0.375, 0.375, 0.1875]


def test_labels_stand_above_and_below_with_the_distortion():
    clean = torch.zeros(1, 4)
    figure = adversarial_digits(clean, clean + 0.5, torch.tensor([7]), ["ostrich"])
    assert figure.axes[0].get_title() == "7"
    assert figure.axes[2].get_xlabel() == "ostrich\n0.500"


def test_pixels_outside_the_range_are_drawn_as_black_and_white():
    image = torch.tensor([[-1.0, 0.0, 1.0, 3.0]])
    drawn = adversarial_digits(image, image).axes[2].images[0].get_array()
    assert drawn.flatten().tolist() == [0.0, 0.0, 1.0, 1.0]


@pytest.mark.parametrize("shape", [(3, 16), (3, 4, 4), (3, 1, 4, 4), (3, 3, 4, 4)])
def test_every_documented_shape_is_drawn(shape):
    assert len(adversarial_digits(torch.rand(shape), torch.rand(shape)).axes) == 9


@pytest.mark.parametrize("shape", [(3, 15), (3, 2, 4, 4), (4,)])
def test_other_shapes_are_refused_with_the_ones_that_are_drawn(shape):
    with pytest.raises(ValueError, match=r"is not drawn: give \(N, H, W\)"):
        adversarial_digits(torch.rand(shape), torch.rand(shape))


def test_an_empty_batch_is_refused():
    with pytest.raises(ValueError, match=r"no image to draw: the batch has shape \(0, 16\)"):
        adversarial_digits(torch.rand(0, 16), torch.rand(0, 16))


def test_different_shapes_are_refused_with_both():
    with pytest.raises(ValueError, match=r"differ in shape: \(1, 16\) and \(2, 16\)"):
        adversarial_digits(torch.rand(1, 16), torch.rand(2, 16))


def test_a_wrong_number_of_labels_is_refused():
    with pytest.raises(ValueError, match="adversarial_labels has 3 entries for 2 images"):
        adversarial_digits(torch.rand(2, 16), torch.rand(2, 16), [1, 2], [1, 2, 3])


def test_a_factor_that_is_not_positive_is_refused():
    with pytest.raises(ValueError, match="magnify must be positive, not 0"):
        adversarial_digits(torch.rand(2, 16), torch.rand(2, 16), magnify=0)
