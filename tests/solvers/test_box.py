"""The box: limits of every kind, and what is refused."""

import math

import pytest
import torch
from torch import Tensor

from lit_intriguing.solvers.box import Box

X = torch.tensor([[-2.0, 0.25, 3.0], [0.5, -math.inf, math.inf]])
INF = math.inf


@pytest.mark.parametrize(
    ("lower", "upper", "expected"),
    [
        (0.0, 1.0, [[0, 0.25, 1], [0.5, 0, 1]]),
        (-INF, 1.0, [[-2, 0.25, 1], [0.5, -INF, 1]]),
        (0.0, INF, [[0, 0.25, 3], [0.5, 0, INF]]),
        (-INF, INF, X.tolist()),
        (torch.tensor(0.0), torch.tensor([1.0]), [[0, 0.25, 1], [0.5, 0, 1]]),
        (torch.zeros(3), torch.tensor([1.0, 2.0, INF]), [[0, 0.25, 3], [0.5, 0, INF]]),
        (0.0, torch.tensor([1.0, 2.0, 2.0]), [[0, 0.25, 2], [0.5, 0, 2]]),
        (-INF, torch.tensor([1.0, 2.0, 2.0]), [[-2, 0.25, 2], [0.5, -INF, 2]]),
        (torch.tensor([0.0, -1.0, 0.0]), 1.0, [[0, 0.25, 1], [0.5, -1, 1]]),
        (0.5, 0.5, [[0.5] * 3] * 2),
        (torch.tensor([1, 0, -1]), torch.tensor([1, 0, -1]), [[1, 0, -1]] * 2),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
def test_projection_is_onto_numbers_and_tensors_mixed_at_will(
    lower: float | Tensor, upper: float | Tensor, expected: list, dtype: torch.dtype
) -> None:
    x = X.to(dtype, copy=True)
    box = Box.like(x, lower, upper)
    moved = box.project_(x)
    assert moved is x
    assert x.tolist() == expected
    assert box.unbounded is (moved.tolist() == X.tolist())


def test_limits_are_rounded_to_the_dtype_of_the_points() -> None:
    x = torch.tensor([[-1.0, 1.0]])
    Box.like(x, -0.1, 0.1).project_(x)
    assert torch.equal(x, torch.tensor([[-0.1, 0.1]]))


@pytest.mark.parametrize(
    ("lower", "upper", "message"),
    [
        (math.nan, 1.0, "limit of the box is NaN"),
        (0.0, torch.tensor([1.0, math.nan, 1.0]), "limit of the box is NaN"),
        (1.0, 0.0, "lower limit of the box lies above its upper"),
        (torch.tensor([0.0, 2.0, 0.0]), 1.0, "lower limit of the box lies above its upper"),
        (torch.zeros(2), 1.0, r"lower has shape \(2,\); give one number, or one for each of the 3"),
        (0.0, torch.ones(3, 1), r"upper has shape \(3, 1\)"),
        (0.0, torch.ones(0), r"upper has shape \(0,\)"),
    ],
)
def test_limits_that_make_no_box_are_refused(
    lower: float | Tensor, upper: float | Tensor, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Box.like(X, lower, upper)


@pytest.mark.parametrize("limits", [(0.0, 1.0), (0.0, torch.inf), (-torch.inf, torch.inf)])
def test_only_what_is_at_a_limit_and_drawn_beyond_it_is_held(limits: tuple[float, float]) -> None:
    x = torch.tensor([[0.0, 0.0, 0.0, 0.5, 0.5, 1.0, 1.0, 1.0]])
    toward = torch.tensor([[-1.0, 0.0, 0.2, 0.5, 7.0, 0.9, 1.0, 1.5]])
    at = [(x == limit) & (beyond >= 0) for limit, beyond in
          ((limits[0], limits[0] - toward), (limits[1], toward - limits[1]))]  # fmt: skip
    box = Box.like(x, *limits)
    free = box.free(x, toward.clone(), out=torch.empty_like(x), spare=torch.empty_like(x))
    assert free.tolist() == (~(at[0] | at[1])).float().tolist()


@pytest.mark.parametrize(
    ("lower", "upper", "finite"),
    [
        (0.0, 1.0, True),
        (-INF, 1.0, False),
        (0.0, INF, False),
        (torch.tensor([0.0, -1.0, 0.0]), torch.tensor([1.0, 1.0, INF]), False),
        (torch.tensor([0.0, -1.0, 0.0]), 1.0, True),
    ],
)
def test_a_box_is_finite_where_all_its_limits_are(
    lower: float | Tensor, upper: float | Tensor, finite: bool
) -> None:
    assert Box.like(X, lower, upper).finite is finite
