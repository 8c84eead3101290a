"""What follows a trial: the scale, the length and the reach of the next step."""

import torch
from torch import Tensor

from lit_intriguing.solvers.line_search import (
    cut,
    decreases_enough,
    next_length,
    next_reach,
    next_scale,
    rounding_of,
)


def numbers(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def test_a_cut_step_ends_where_the_parabola_is_least() -> None:
    # Through f(0) = 0 with slope p and f(1) = c: p t + (c - p) t^2.
    predicted, change = numbers(-1.0, -2.0, -1.0), numbers(1.0, 3.0, 0.25)
    t = torch.linspace(0, 1, 100_001, dtype=torch.float64).unsqueeze(1)
    least = t[(predicted * t + (change - predicted) * t.square()).argmin(0)].squeeze(1)
    torch.testing.assert_close(cut(change, predicted), least, atol=1e-5, rtol=0)


def test_a_cut_keeps_between_a_tenth_and_a_half() -> None:
    change, predicted = numbers(1e9, -0.5, torch.nan, torch.inf), numbers(-1.0, -1.0, -1.0, -1.0)
    assert cut(change, predicted).tolist() == [0.1, 0.5, 0.1, 0.1]


def test_the_scale_grows_after_acceptance_to_one_and_is_cut_after_a_rejection() -> None:
    scale, ones = numbers(0.5, 0.9, 0.5, 0.02), torch.ones(4, dtype=torch.float64)
    accepted, share = torch.tensor([True, True, False, False]), numbers(0.5, 0.5, 0.25, 0.1)
    found, length = next_scale(scale, ones, accepted, share, 0.01)
    torch.testing.assert_close(found, numbers(0.7, 1.0, 0.125, 0.01))
    assert length.tolist() == [1.0] * 4


def test_a_step_is_cut_once_the_scale_is_at_its_least() -> None:
    scale, length = numbers(0.01, 0.01, 0.01), numbers(1.0, 0.5, 0.25)
    accepted, share = torch.tensor([False, False, True]), numbers(0.5, 0.2, 0.5)
    found, length = next_scale(scale, length, accepted, share, 0.01)
    torch.testing.assert_close(found, numbers(0.01, 0.01, 0.014))
    torch.testing.assert_close(length, numbers(0.5, 0.1, 1.0))


def test_the_length_returns_to_one_or_doubles_or_is_cut() -> None:
    length, share = numbers(0.25, 2.0, 2.0), numbers(0.5, 0.5, 0.25)
    accepted, longer = torch.tensor([True, True, False]), torch.tensor([False, True, False])
    found = next_length(length, accepted, longer, share)
    assert found.tolist() == [1.0, 4.0, 0.5]


def test_a_step_without_a_pair_goes_twice_as_far_and_its_square_does_not_overflow() -> None:
    assert next_reach(numbers(9.0)).item() == 6.0
    single = next_reach(torch.tensor([torch.finfo(torch.float32).max]))
    assert single.square().isfinite().all()


def test_a_rise_within_rounding_is_enough_and_a_larger_one_is_not() -> None:
    rounding = rounding_of(numbers(1.0, 1.0))
    eps = torch.finfo(torch.float64).eps
    none = numbers(0.0, 0.0)
    assert decreases_enough(numbers(2 * eps, 8 * eps), none, rounding).tolist() == [True, False]
    # Armijo: a ten-thousandth of what the slope predicts.
    predicted = numbers(-1.0, -1.0)
    assert decreases_enough(numbers(-2e-4, -5e-5), predicted, 0 * rounding).tolist() == [
        True,
        False,
    ]
