import math

import pytest
import torch

from lit_intriguing.sanity import break_point_angle, increasing_loss, silent_success


@pytest.mark.parametrize(
    ("success", "expected"),
    [
        ([False, True, False], True),
        ([False, True, True], False),
        ([False, False, False], False),
        ([True], False),
    ],
)
def test_a_success_on_the_way_that_is_lost_is_silent(success: list[bool], expected: bool) -> None:
    assert silent_success(torch.tensor(success)) is expected


@pytest.mark.parametrize("corner", [0.1, 0.3, 0.5])
def test_the_angle_is_that_of_a_curve_with_one_corner(corner: float) -> None:
    # From (0, 1) down to (corner, 0), then level: the cosine by the law of cosines.
    steps = 101
    loss = torch.tensor([max(0.0, 1 - i / (corner * (steps - 1))) for i in range(steps)])
    one, other = math.hypot(corner, 1), 1 - corner
    expected = abs((one**2 + other**2 - 2) / (2 * one * other))
    assert break_point_angle(loss) == pytest.approx(expected, abs=1e-3)


def test_scale_and_offset_of_the_loss_do_not_matter() -> None:
    loss = torch.tensor([5.0, 3.0, 2.5, 2.2, 2.1, 2.0])
    assert break_point_angle(1e3 * loss - 7) == pytest.approx(break_point_angle(loss))
    assert increasing_loss(1e3 * loss.flip(0) - 7) == pytest.approx(1.0)


@pytest.mark.parametrize(
    "loss", [[1.0, 1.0, 1.0], [2.0, 1.0], [1.0, math.nan, 0.0], [1.0, math.inf, 0.0]], ids=str
)
def test_a_loss_of_which_nothing_can_be_said_is_nan(loss: list[float]) -> None:
    assert math.isnan(break_point_angle(torch.tensor(loss)))


def test_a_loss_that_goes_up_and_down_alike_is_one_half() -> None:
    assert increasing_loss(torch.tensor([0.0, 1.0, 0.0, 1.0, 0.0])) == 0.5
    assert math.isnan(increasing_loss(torch.ones(4)))
