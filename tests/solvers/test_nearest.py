"""`nearest_point` against closed forms, and constraints made to break it."""

import math

import pytest
import torch
from torch import Tensor

from lit_intriguing.attacks.box_lbfgs import FAST
from lit_intriguing.solvers import Nearest, nearest_point
from tests.solvers.problems import Classifier

ROWS, DIMENSIONS = 30, 8


class HalfSpaces:
    """`w.x < b`, one for each row; smoothing changes nothing."""

    def __init__(self, scale: float = 1.0, dtype: torch.dtype = torch.float64) -> None:
        source = torch.Generator().manual_seed(0)
        self.w = torch.randn(ROWS, DIMENSIONS, generator=source, dtype=torch.float64).to(dtype)
        self.x = torch.rand(ROWS, DIMENSIONS, generator=source, dtype=torch.float64).to(dtype)
        self.b = (self.w * self.x).sum(1) - 0.3
        self.scale = scale
        self.unit = torch.full_like(self.b, 0.3 * scale)

    def __call__(self, x: Tensor, rows: Tensor, smoothing: Tensor) -> tuple[Tensor, Tensor]:
        value = ((self.w[rows] * x).sum(1) - self.b[rows]) * self.scale
        return value, value.detach()

    @property
    def nearest(self) -> Tensor:
        """Distance from the half space without a box."""
        return 0.3 / self.w.norm(dim=1)


def solve(fun: HalfSpaces, **options: object) -> Nearest:
    return nearest_point(fun, fun.x, -math.inf, math.inf, stages=FAST, unit=fun.unit, **options)


@pytest.mark.parametrize("scale", [1e-6, 1e-3, 1.0, 1e3, 1e6])
def test_half_spaces_of_any_scale_are_reached_by_the_shortest_way(scale: float) -> None:
    fun = HalfSpaces(scale)
    found = solve(fun)
    assert found.feasible.all()
    assert found.settled.all()
    ratio = (found.x - fun.x).norm(dim=1) / fun.nearest
    assert ratio.min() > 1 - 1e-12
    assert ratio.max() < 1.01
    torch.testing.assert_close(found.square, (found.x - fun.x).square().sum(1))


def test_the_multiplier_makes_the_point_stationary() -> None:
    fun = HalfSpaces(10.0)
    found = solve(fun)
    expected = fun.nearest / fun.w.norm(dim=1) / 10
    torch.testing.assert_close(found.multiplier, expected, rtol=2e-2, atol=0)


def test_float32_finds_what_float64_finds() -> None:
    double, single = HalfSpaces(), HalfSpaces(dtype=torch.float32)
    found = solve(single)
    assert found.x.dtype == torch.float32
    torch.testing.assert_close(found.x.double(), solve(double).x, atol=1e-3, rtol=0)


def test_a_problem_is_given_up_where_nearer_points_are_known() -> None:
    fun = Classifier(30)
    options = {"stages": FAST, "unit": fun.unit}
    whole = nearest_point(fun.constraint, fun.x, 0.0, 1.0, **options)
    assert whole.feasible.all()
    beaten = torch.arange(30) % 2 == 0
    known = whole.square * torch.where(beaten, 0.5, 1.1)
    found = nearest_point(fun.constraint, fun.x, 0.0, 1.0, beaten_at=known, **options)
    torch.testing.assert_close(found.x[~beaten], whole.x[~beaten])
    assert torch.equal(found.evaluations[~beaten], whole.evaluations[~beaten])
    assert (found.evaluations[beaten] <= whole.evaluations[beaten]).all()
    assert found.evaluations[beaten].double().mean() < 0.75 * whole.evaluations.double().mean()
    unknown = torch.full_like(known, math.inf)
    found = nearest_point(fun.constraint, fun.x, 0.0, 1.0, beaten_at=unknown, **options)
    assert torch.equal(found.x, whole.x)


def test_a_search_is_given_up_after_a_stage_in_which_another_one_was_ahead() -> None:
    fun = Classifier(30)
    options = {"stages": FAST, "unit": fun.unit}
    whole = nearest_point(fun.constraint, fun.x, 0.0, 1.0, **options)
    assert whole.after_stages.shape == (30, 3)
    assert torch.equal(whole.after_stages[:, -1], whole.square)
    assert (whole.after_stages.diff(dim=1) <= 0).all()
    behind = torch.arange(30) % 2 == 0
    rival = whole.after_stages * torch.where(behind, 0.9, 1.1).unsqueeze(1)
    rival[:, 0] = math.inf
    found = nearest_point(fun.constraint, fun.x, 0.0, 1.0, rival=rival, **options)
    torch.testing.assert_close(found.x[~behind], whole.x[~behind])
    torch.testing.assert_close(found.square[behind], whole.after_stages[behind, 1])
    assert found.after_stages[behind, 2].isinf().all()
    assert (found.evaluations[behind] < whole.evaluations[behind]).all()


def test_evaluations_are_those_of_the_function() -> None:
    fun = Classifier(8)
    found = nearest_point(fun.constraint, fun.x, 0.0, 1.0, stages=FAST, unit=fun.unit, slots=8)
    assert (found.evaluations <= fun.evaluated).all()
    alone = Classifier(1)
    found = nearest_point(alone.constraint, alone.x, 0.0, 1.0, stages=FAST, unit=alone.unit)
    assert found.evaluations.tolist() == alone.evaluated.tolist()


@pytest.mark.parametrize("value", [math.nan, math.inf, 1.0])
@pytest.mark.parametrize("slots", [2, 30])
def test_rows_that_lead_nowhere_end_and_harm_no_other(value: float, slots: int) -> None:
    fun = HalfSpaces()
    spoilt = torch.arange(ROWS) % 3 == 0

    def spoiling(x: Tensor, rows: Tensor, smoothing: Tensor) -> tuple[Tensor, Tensor]:
        good = fun(x, rows, smoothing)
        where = spoilt[rows]
        return torch.where(where, x.sum(1) * 0 + value, good[0]), good[1].masked_fill(where, value)

    found = nearest_point(spoiling, fun.x, -9.0, 9.0, stages=FAST, unit=fun.unit, slots=slots)
    assert torch.equal(found.feasible, ~spoilt)
    assert torch.equal(found.x[spoilt], fun.x[spoilt])
    assert found.square[spoilt].isinf().all()
    assert not found.settled[spoilt].any()
    expected = nearest_point(fun, fun.x, -9.0, 9.0, stages=FAST, unit=fun.unit)
    torch.testing.assert_close(found.x[~spoilt], expected.x[~spoilt])


@pytest.mark.parametrize("lower", [0.0, torch.zeros(DIMENSIONS)])
def test_a_constraint_out_of_the_boxs_reach_ends_without_a_point(lower: float | Tensor) -> None:
    x0 = torch.rand(5, DIMENSIONS, generator=torch.Generator().manual_seed(0))

    def distant(x: Tensor, rows: Tensor, smoothing: Tensor) -> tuple[Tensor, Tensor]:
        value = x.sum(1) + 0.5
        return value, value.detach()

    found = nearest_point(distant, x0, lower, 1.0, stages=FAST, unit=torch.ones(5))
    assert not found.feasible.any()
    assert torch.equal(found.x, x0)
    fixed = nearest_point(distant, x0[:1], x0[0], x0[0], stages=FAST, unit=torch.ones(1))
    assert not fixed.feasible.any()


def test_a_point_that_is_feasible_at_once_stays() -> None:
    fun = HalfSpaces()
    fun.b += 1
    found = solve(fun)
    assert found.feasible.all()
    assert torch.equal(found.x, fun.x)
    assert (found.square == 0).all()


def test_no_problem_asks_the_function_for_nothing() -> None:
    def never(x: Tensor, rows: Tensor, smoothing: Tensor) -> tuple[Tensor, Tensor]:
        raise AssertionError("asked")

    none = torch.zeros(0, 3)
    found = nearest_point(never, none, 0.0, 1.0, stages=FAST, unit=none[:, 0])
    assert len(found.x) == 0


def test_progress_adds_up_to_all_problems() -> None:
    finished: list[int] = []
    solve(HalfSpaces(), slots=7, on_finished=finished.append)
    assert sum(finished) == ROWS
