import pytest
import torch

from lit_intriguing.figures.difference import chosen_factor, factor_for, shown_difference


@pytest.mark.parametrize(
    ("largest", "factor"), [(0.0, 1), (0.9, 1), (0.25, 2), (0.05, 10), (1e-9, 1000)]
)
def test_the_factor_is_the_largest_round_one_without_clipping(
    largest: float, factor: float
) -> None:
    assert factor_for(torch.tensor([largest, -largest, 0.0])) == factor


def test_one_element_in_a_hundred_may_be_clipped() -> None:
    assert factor_for(torch.tensor([0.05] * 99 + [0.4])) == 10


def test_no_change_is_grey_and_changes_are_magnified_around_it() -> None:
    clean = torch.tensor([0.25, 0.5, 0.75])
    shown, factor = shown_difference(clean, torch.tensor([0.25, 0.5625, 0.6875]), 4)
    assert shown.tolist() == [0.5, 0.75, 0.25]
    assert factor == 4
    assert shown_difference(clean, clean + 0.04)[1] == 10


def test_a_factor_that_is_not_positive_is_refused() -> None:
    with pytest.raises(ValueError, match="magnify must be positive, not 0"):
        chosen_factor(torch.zeros(1), 0)
