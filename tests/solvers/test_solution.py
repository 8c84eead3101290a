"""The three searches return one shape: point, value, evaluations, status."""

import math

import pytest
import torch
from torch import Tensor

from lit_intriguing.solvers import (
    NearestSolution,
    Solution,
    Stage,
    Status,
    largest_penalty,
    minimise_box,
    nearest_point,
)

STAGES = [Stage(smoothing=0.1, tolerance=1e-2, inside=1e-3, steps=15)]


def margin(x: Tensor, problems: Tensor) -> Tensor:
    """Positive at 0 and negative beyond the plane where the sum is 1; problem 0 has no such."""
    return (1.0 - x.sum(1)).where(problems > 0, 1.0 + x.square().sum(1))


def loss(x: Tensor, problems: Tensor) -> tuple[Tensor, Tensor]:
    values = margin(x, problems)
    return torch.nn.functional.softplus(values), values.detach()


def broken(x: Tensor, problems: Tensor) -> tuple[Tensor, Tensor]:
    values, margins = loss(x, problems)
    return values * math.nan, margins


SOLVERS = {
    "minimise_box": lambda fun=loss: minimise_box(lambda x, i: fun(x, i)[0], torch.zeros(3, 4)),
    "nearest_point": lambda fun=loss: nearest_point(
        lambda x, i, _: fun(x, i), torch.zeros(3, 4), -2.0, 2.0, unit=torch.ones(3), stages=STAGES
    ),
    "largest_penalty": lambda fun=loss: largest_penalty(fun, torch.zeros(3, 4), -2.0, 2.0),
}
EVERY_SOLVER = pytest.mark.parametrize("solve", SOLVERS.values(), ids=SOLVERS)


@EVERY_SOLVER
def test_every_search_returns_point_value_evaluations_and_status(solve) -> None:
    found = solve()
    assert isinstance(found, Solution)
    assert len(found) == 3
    assert found.point.shape == (3, 4)
    assert torch.equal(found.x, found.point)
    assert found.value.shape == (3,)
    assert (found.evaluations.dtype, found.status.dtype) == (torch.int64, torch.int8)
    assert bool((found.evaluations > 0).all())
    assert found.messages == [Status(code).message for code in found.status.tolist()]
    assert repr(found).startswith(f"{type(found).__name__}(3 problems of 4 variables: ")
    assert repr(found).endswith(f"; {int(found.evaluations.sum())} evaluations)")


@EVERY_SOLVER
def test_every_search_says_where_the_function_is_not_finite(solve) -> None:
    found = solve(broken)
    assert found.status.tolist() == [Status.NOT_FINITE] * 3
    assert "3 NOT_FINITE" in repr(found)
    assert torch.equal(found.point, torch.zeros(3, 4))
    assert "not finite" in found.messages[0]


@pytest.mark.parametrize("name", ["nearest_point", "largest_penalty"])
def test_the_value_of_a_success_is_its_squared_distance(name: str) -> None:
    found = SOLVERS[name]()
    assert isinstance(found, NearestSolution)
    assert found.success.tolist() == [False, True, True]
    assert found.status[0] == Status.NOT_FOUND
    assert math.isinf(found.value[0])
    torch.testing.assert_close(found.value[1:], found.point[1:].square().sum(1))
    assert torch.equal(found.settled, found.status == Status.CONVERGED)
    assert bool((margin(found.point, torch.arange(3))[1:] < 0).all())


def test_each_status_has_a_sentence_of_its_own() -> None:
    messages = [status.message for status in Status]
    assert len(set(messages)) == len(messages) == 6
    assert all(message.endswith(".") for message in messages)
    assert Status(2) is Status.STEPS
