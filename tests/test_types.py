"""Bounds of every shape, and distortion."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lit_intriguing.types import UNBOUNDED, Bounds, Perturbation, distortion

FLOATS = st.floats(-(2.0**20), 2.0**20, width=32, allow_subnormal=False)
CHANNELS, LENGTH = 2, 3


@st.composite
def boxes(draw: st.DrawFn) -> Bounds:
    """Scalar limits, one number a channel, or one example's shape."""
    size = draw(st.sampled_from([1, CHANNELS, CHANNELS * LENGTH]))
    pairs = draw(st.lists(st.tuples(FLOATS, FLOATS), min_size=size, max_size=size))
    lower, upper = [min(pair) for pair in pairs], [max(pair) for pair in pairs]
    if size == 1:
        return Bounds(lower[0], upper[0])
    if size == CHANNELS:
        return Bounds(lower, upper)
    shape = (CHANNELS, LENGTH)
    return Bounds(torch.tensor(lower).view(shape), torch.tensor(upper).view(shape))


def limit(value: object, channel: int, position: int) -> float:
    if isinstance(value, Tensor):
        return float(value[channel, position])
    return value[channel] if isinstance(value, list) else value


@settings(deadline=None, max_examples=60)
@given(boxes(), st.lists(FLOATS, min_size=12, max_size=12))
def test_clamp_moves_each_element_to_the_nearest_point_of_its_own_limits(
    box: Bounds, values: list[float]
) -> None:
    x = torch.tensor(values).view(2, CHANNELS, LENGTH)
    clamped = box.clamp(x)
    for n in range(2):
        for c in range(CHANNELS):
            for i in range(LENGTH):
                lower, upper = limit(box.lower, c, i), limit(box.upper, c, i)
                assert float(clamped[n, c, i]) == min(max(float(x[n, c, i]), lower), upper)
    assert box.contains(clamped).all()


@settings(deadline=None, max_examples=60)
@given(boxes(), st.lists(FLOATS, min_size=12, max_size=12))
def test_contains_agrees_with_being_left_alone_by_clamp(box: Bounds, values: list[float]) -> None:
    x = torch.tensor(values).view(2, CHANNELS, LENGTH)
    untouched = (box.clamp(x) == x).flatten(1).all(1)
    assert torch.equal(box.contains(x), untouched)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("box", [Bounds(0.1, 0.7), Bounds([0.1], [0.7])], ids=["number", "channel"])
def test_limits_are_rounded_to_the_tensors_dtype(box: Bounds, dtype: torch.dtype) -> None:
    clamped = box.clamp(torch.tensor([[-5.0], [5.0]], dtype=dtype))
    assert clamped.dtype == dtype
    assert torch.equal(clamped.flatten(), torch.tensor([0.1, 0.7], dtype=dtype))
    assert box.contains(clamped).all()


def test_contains_with_slack_lets_a_little_more_in() -> None:
    x = torch.tensor([[1.05], [1.2], [-0.05]])
    assert Bounds().contains(x, slack=0.1).tolist() == [True, False, True]


def test_contains_refuses_nan() -> None:
    assert Bounds().contains(torch.tensor([[math.nan], [0.5]])).tolist() == [False, True]


def test_half_open_box_limits_one_side_only() -> None:
    x = torch.tensor([[-1e30, 1e30]])
    assert Bounds(0.0, math.inf).clamp(x).tolist() == [[0.0, pytest.approx(1e30)]]
    assert Bounds(0.0, math.inf).finite


def test_unbounded_box_hands_the_tensor_back() -> None:
    x = torch.randn(2, 3)
    assert UNBOUNDED.clamp(x) is x
    assert not UNBOUNDED.finite
    assert not Bounds([-math.inf] * 3, [math.inf] * 3).finite


def test_empty_batch_can_be_clamped() -> None:
    x = torch.zeros(0, 2, 3)
    assert Bounds([0.0, 0.0], [1.0, 1.0]).clamp(x).shape == x.shape
    assert Bounds().contains(x).shape == (0,)


@settings(deadline=None, max_examples=60)
@given(boxes(), st.floats(2.0**-10, 2.0**10, width=32), st.lists(FLOATS, min_size=12, max_size=12))
def test_box_in_other_units_holds_what_the_box_holds(
    box: Bounds, scale: float, values: list[float]
) -> None:
    x = box.clamp(torch.tensor(values).view(2, CHANNELS, LENGTH))
    unit = torch.tensor(scale)
    assert box.in_units_of(unit).contains(x / unit).all()


def test_unbounded_box_has_no_units() -> None:
    assert UNBOUNDED.in_units_of(torch.tensor(3.0)) is UNBOUNDED


@pytest.mark.parametrize(
    ("lower", "upper", "message"),
    [
        (1.0, 0.0, "lower 1.0 lies above upper 0.0"),
        ([0.0, 2.0], [1.0, 1.0], "lies above upper"),
        (math.nan, 1.0, "a limit is NaN"),
        ([0.0, 0.0], [1.0, 1.0, 1.0], r"lower has shape \(2,\), upper \(3,\)"),
    ],
)
def test_limits_that_make_no_box_are_refused(lower: object, upper: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Bounds(lower, upper)


def test_limits_of_unfit_shape_are_refused_with_both_shapes() -> None:
    with pytest.raises(ValueError, match=r"shape \(3,\) fits neither .* shape \(1, 2, 4\)"):
        Bounds([0.0] * 3, [1.0] * 3).clamp(torch.zeros(1, 2, 4))


def test_what_met_the_goal_unchanged_is_counted_where_a_perturbation_is_printed() -> None:
    clean = torch.zeros(3, 4)
    queries, success = torch.ones(3).long(), torch.tensor([True, True, False])
    moved = clean.clone()
    moved[0] = 0.5
    assert "1 met the goal unchanged" in repr(Perturbation(clean, moved, success, queries))
    assert "unchanged" not in repr(Perturbation(clean, clean + 1, success, queries))


def test_distortion_is_the_root_mean_square_change_of_each_row() -> None:
    clean = torch.zeros(2, 2, 2)
    adversarial = torch.tensor([[[3.0, 0.0], [0.0, 4.0]], [[0.0, 0.0], [0.0, 0.0]]])
    expected = [math.sqrt((9 + 16) / 4), 0.0]
    assert distortion(clean, adversarial).tolist() == pytest.approx(expected)
    none = torch.zeros(2)
    found = Perturbation(clean, adversarial, none.bool(), none.long())
    assert found.distortion.tolist() == pytest.approx(expected)
