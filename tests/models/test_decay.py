import pytest
import torch

from lit_intriguing.models.decay import half_square_decay, paper_decay


def test_each_layer_s_sum_of_squares_is_divided_by_its_units() -> None:
    weights = [torch.randn(4, 3), torch.randn(2, 4)]
    expected = 0.1 * weights[0].pow(2).sum() / 4 + 0.3 * weights[1].pow(2).sum() / 2
    assert torch.allclose(paper_decay(weights, [0.1, 0.3]), expected)


def test_its_gradient_is_2_lambda_w_over_k() -> None:
    weight = torch.randn(5, 3, requires_grad=True)
    paper_decay([weight], [0.2]).backward()
    assert torch.allclose(weight.grad, 2 * 0.2 * weight / 5)


def test_the_other_reading_is_half_the_sum_of_squares_whatever_the_units() -> None:
    weights = [torch.randn(4, 3), torch.randn(2, 4)]
    expected = 0.1 / 2 * weights[0].pow(2).sum() + 0.3 / 2 * weights[1].pow(2).sum()
    assert torch.allclose(half_square_decay(weights, [0.1, 0.3]), expected)


def test_the_gradient_of_the_other_reading_is_lambda_w() -> None:
    weight = torch.randn(5, 3, requires_grad=True)
    half_square_decay([weight], [0.2]).backward()
    assert torch.allclose(weight.grad, 0.2 * weight)


@pytest.mark.parametrize("form", [paper_decay, half_square_decay])
def test_without_strength_it_is_zero(form) -> None:
    assert form([torch.ones(2, 2)], [0.0]) == 0


@pytest.mark.parametrize("form", [paper_decay, half_square_decay])
def test_a_strength_is_needed_for_each_layer(form) -> None:
    with pytest.raises(ValueError, match="zip"):
        form([torch.ones(1, 1)], [0.1, 0.1])
